import { QueryClient, QueryClientProvider, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { useConnection } from "@/api/connection";
import { useApiKey, useKeyWanted } from "@/api/key";
import { Problem, Unreachable } from "@/api/problem";
import { chunks } from "@/chunks";
import { count } from "@/format";
import { UploadsProvider, useUploadProgress } from "@/library/uploads-context";
import { MissingQueryImage } from "@/query/use-search";
import { SearchPage } from "@/search/page";
import { Boundary } from "@/shell/boundary";
import { DropAnywhere } from "@/shell/drop-anywhere";
import { Header } from "@/shell/header";
import { OfflineBanner } from "@/shell/offline";
import { StandInBanner } from "@/shell/stand-in";
import { ToastProvider, useToast } from "@/ui/toasts";
import { buttonClass } from "@/ui/button";
import { Note } from "@/ui/notes";
import { PATHS } from "@/paths";

const LibraryPage = lazy(chunks.library);
const KeyDialog = lazy(chunks.key);
const StatusPage = lazy(chunks.status);
const JobPage = lazy(chunks.job);

/** Retries if the server is busy or away for a moment. Every other error is final. */
function retryQuery(failures: number, error: unknown): boolean {
  if (error instanceof MissingQueryImage || error instanceof Unreachable) return false;
  return error instanceof Problem && error.status === 503 && failures < 2;
}

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: retryQuery,
      retryDelay: (_, error) => (error instanceof Problem ? (error.retryAfter ?? 1) * 1000 : 1000),
      // The browser's online state does not tell whether a server on this machine is reachable.
      networkMode: "always",
      staleTime: 10_000,
    },
    mutations: { networkMode: "always" },
  },
});

export function App() {
  return (
    <QueryClientProvider client={client}>
      <Boundary>
        <ToastProvider>
          <UploadsProvider>
            <DropAnywhere>
              <Shell />
            </DropAnywhere>
            <Suspense fallback={null}>
              <KeyPrompt />
            </Suspense>
          </UploadsProvider>
        </ToastProvider>
      </Boundary>
    </QueryClientProvider>
  );
}

function KeyPrompt() {
  const wanted = useKeyWanted();
  const queries = useQueryClient();
  const key = useApiKey();
  const before = useRef({ key, wanted });
  // A new key, entered here or in another tab: refetch everything that was refused.
  useEffect(() => {
    const answered = before.current.wanted && !wanted;
    if (answered || before.current.key !== key) void queries.resetQueries();
    before.current = { key, wanted };
  }, [key, wanted, queries]);
  return wanted && <KeyDialog />;
}

function Shell() {
  const toast = useToast();
  const [place] = useLocation();
  const online = useConnection(useCallback(() => toast({ text: "The server is back" }), [toast]));
  const { active, total, done, failed } = useUploadProgress();
  return (
    <>
      <Header activity={active ? `${count(done + failed)}/${count(total)}` : null} />
      <OfflineBanner online={online} />
      {online && <StandInBanner />}
      <main id="main" tabIndex={-1} className="flex flex-1 flex-col outline-none">
        <Boundary place={place}>
          <Suspense fallback={null}>
            <Switch>
              <Route path={PATHS.search} component={SearchPage} />
              <Route path={PATHS.library} component={LibraryPage} />
              <Route path={PATHS.status} component={StatusPage} />
              <Route path={PATHS.job} component={JobPage} />
              <Route>
                <h1 className="sr-only">Page not found</h1>
                <Note
                  icon="search"
                  title="Page not found"
                  actions={
                    <Link href={PATHS.search} className={buttonClass("primary")}>
                      Go to search
                    </Link>
                  }
                />
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </main>
    </>
  );
}
