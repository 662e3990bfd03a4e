import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": here("./src") } },
  // `npm run dev` shows changes at once, with the API of a server that runs beside it.
  server: { proxy: { "/api": process.env["API_URL"] ?? "http://localhost:8000" } },
  build: {
    // Inside the Python package, which serves it and carries it in its wheel; FRONTEND_OUT for the nginx image.
    outDir: process.env["FRONTEND_OUT"] ?? here("../backend/image_similarity/web"),
    emptyOutDir: true,
    // What check-size.mjs reads.
    manifest: true,
    // An image as a data: URL would be in the way of a strict policy, and there is none to speak of.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    // A test that needs a DOM names it in its first line; a DOM for each file would take ten times as long as the tests.
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
  },
});
