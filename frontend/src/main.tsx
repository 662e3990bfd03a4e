import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { apiKey } from "@/api/key";
import { App } from "@/app";
import { prefetchChunks } from "@/chunks";
import { isChunkFailure, watchChunks } from "@/shell/chunk-failures";
import "@/styles.css";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root.");
watchChunks();
if (typeof BroadcastChannel === "function") apiKey.share(new BroadcastChannel("api-key"));
createRoot(root, {
  onCaughtError: (error) => {
    // A boundary shows both; only what is a defect of the page is of use to who looks for it here.
    if (!isChunkFailure(error)) console.error(error);
  },
}).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
prefetchChunks();
