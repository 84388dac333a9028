import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** sw.js with the names of the build's files. */
function serviceWorker(): Plugin {
  return {
    name: "service-worker",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      const files = Object.keys(bundle).filter((name) => name.startsWith("assets/")).sort(); // by content: the rest has hashes
      const source = readFileSync(new URL("src/sw.js", import.meta.url), "utf8");
      const version = createHash("sha256").update(source).update(files.join()).digest("hex").slice(0, 12);
      const filled = source.replace("__FILES__", JSON.stringify(files)).replace("__VERSION__", version);
      this.emitFile({ type: "asset", fileName: "sw.js", source: filled });
    },
  };
}

export default defineConfig({
  base: "./", // relative addresses: the site works below any path
  plugins: [serviceWorker()],
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
