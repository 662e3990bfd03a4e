import * as Dialog from "@radix-ui/react-dialog";
import { type SyntheticEvent, useState } from "react";
import { apiKey } from "@/api/key";
import { Button } from "@/ui/button";
import { Icon } from "@/ui/icons";

/** Asks for an API key as soon as the server refuses a request for want of one. */
export default function KeyDialog() {
  const [value, setValue] = useState("");
  // Asked again although there is one: it was refused.
  const wasWrong = apiKey.value !== null;

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    apiKey.set(value.trim());
  };

  return (
    <Dialog.Root open>
      <Dialog.Portal>
        <div className="fixed inset-0 z-40 animate-fade bg-black/50 backdrop-blur-sm" />
        <Dialog.Content
          data-modal
          className="fixed top-1/2 left-1/2 z-50 w-[min(26rem,calc(100vw-2rem))] -translate-1/2 rounded-3xl bg-surface p-7 shadow-card"
        >
          <span className="mb-4 flex size-12 items-center justify-center rounded-2xl bg-accent-soft text-accent">
            <Icon name="key" className="size-6" />
          </span>
          <Dialog.Title className="text-lg font-semibold">This server needs an API key</Dialog.Title>
          <Dialog.Description className="mt-1 text-sm text-muted">
            Enter one of its API keys. It is forgotten when you close the last tab of this page.
          </Dialog.Description>
          <form onSubmit={submit} className="mt-5 space-y-3">
            <label className="block text-sm font-medium">
              API key
              <input
                type="password"
                autoComplete="off"
                required
                value={value}
                onChange={(event) => setValue(event.target.value)}
                className="field mt-1.5"
              />
            </label>
            {wasWrong && (
              <p role="alert" className="text-sm text-danger">
                The server does not accept this key.
              </p>
            )}
            <Button type="submit" variant="primary" className="w-full">
              Continue
            </Button>
          </form>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
