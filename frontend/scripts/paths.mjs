import { fileURLToPath } from "node:url";

/** Where `vite build` puts the page; vite.config.ts says why there. */
export const outDir =
  process.env.FRONTEND_OUT ?? fileURLToPath(new URL("../../backend/image_similarity/web", import.meta.url));
