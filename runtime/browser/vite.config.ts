import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // relative addresses: the site works below any path
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "import", "module", "browser", "default"] },
  worker: { format: "es" },
  build: {
    outDir: process.env.FER_SITE_OUT ?? "../../build/site",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the Content-Security-Policy takes no data: addresses
    modulePreload: { polyfill: false },
  },
});
