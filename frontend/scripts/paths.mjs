import { fileURLToPath } from "node:url";

/** The build's manifest (source to file), which check-size.mjs reads; it is not served. */
export const manifest = fileURLToPath(new URL("../node_modules/.page-manifest.json", import.meta.url));

/** The folder that `vite build` writes to; vite.config.ts explains why. */
export const outDir =
  process.env.FRONTEND_OUT ?? fileURLToPath(new URL("../../backend/image_similarity/web", import.meta.url));
