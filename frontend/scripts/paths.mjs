import { fileURLToPath } from "node:url";

/** What the build made of which source, for check-size.mjs; kept out of what is served. */
export const manifest = fileURLToPath(new URL("../node_modules/.page-manifest.json", import.meta.url));

/** Where `vite build` puts the page; vite.config.ts says why there. */
export const outDir =
  process.env.FRONTEND_OUT ?? fileURLToPath(new URL("../../backend/image_similarity/web", import.meta.url));
