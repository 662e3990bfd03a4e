import { Component, type ReactNode, useEffect, useState } from "react";
import { useHealth } from "@/api/connection";
import { errorText } from "@/api/problem";
import { isChunkFailure, reloadOnce } from "@/shell/chunk-failures";
import { Button } from "@/ui/button";
import { Note } from "@/ui/notes";

interface Props {
  /** Another value gives the children another try: the address, so that every link is a way out. */
  place?: string;
  children: ReactNode;
}

/** Shows an error in place of what failed; without it React would take the whole page away. */
export class Boundary extends Component<
  Props,
  { error: unknown; failed: boolean; place: string | undefined }
> {
  override state = { error: undefined as unknown, failed: false, place: this.props.place };

  static getDerivedStateFromError(error: unknown) {
    return { error, failed: true };
  }

  static getDerivedStateFromProps(props: Props, state: { place: string | undefined }) {
    return props.place === state.place ? null : { error: undefined, failed: false, place: props.place };
  }

  override render() {
    const { error, failed } = this.state;
    if (!failed) return this.props.children;
    return isChunkFailure(error) ? <NotLoaded /> : <Broken error={error} />;
  }
}

const reload = () => location.reload();

function Broken({ error }: { error: unknown }) {
  return (
    <div role="alert">
      <Note
        icon="warning"
        tone="bad"
        title="Something went wrong"
        actions={
          <Button icon="retry" onClick={reload}>
            Reload the page
          </Button>
        }
      >
        {errorText(error)}
      </Note>
    </div>
  );
}

/** Waits for the server, then reloads the page: React keeps a failed import, and a new version has other files. */
function NotLoaded() {
  const [since] = useState(Date.now);
  const { dataUpdatedAt, refetch } = useHealth();
  const answers = dataUpdatedAt > since;
  const [gaveUp, setGaveUp] = useState(false);
  useEffect(() => void refetch(), [refetch]);
  useEffect(() => {
    if (answers) setGaveUp(!reloadOnce());
  }, [answers]);
  return (
    <div role="alert">
      <Note
        icon="retry"
        tone="bad"
        title="Couldn't load this part of the page"
        actions={
          gaveUp && (
            <Button icon="retry" onClick={reload}>
              Reload the page
            </Button>
          )
        }
      >
        {gaveUp
          ? "The server did not send it. Reload the page to try again."
          : "The page reloads when the server responds."}
      </Note>
    </div>
  );
}
