// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act } from "react";
import { createRoot } from "react-dom/client";
import { expect, it, vi } from "vitest";
import { Boundary } from "@/shell/boundary";

const Torn = () => {
  throw new Error("torn");
};

it("shows an error instead of an empty page, and another address is a way out", () => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  const onCaughtError = vi.fn();
  const root = createRoot(document.body.appendChild(document.createElement("div")), { onCaughtError });
  const show = (place: string, child: React.ReactNode) =>
    act(() =>
      root.render(
        <QueryClientProvider client={new QueryClient()}>
          <h1>Header</h1>
          <Boundary place={place}>{child}</Boundary>
        </QueryClientProvider>,
      ),
    );
  show("/library", <Torn />);
  expect(document.body.textContent).toContain("Header");
  expect(document.querySelector("[role=alert]")?.textContent).toContain("torn");
  expect(onCaughtError).toHaveBeenCalled();
  show("/", <p>The search</p>);
  expect(document.body.textContent).toContain("The search");
  expect(document.querySelector("[role=alert]")).toBeNull();
  act(() => root.unmount());
});
