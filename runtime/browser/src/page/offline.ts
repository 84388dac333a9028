import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

/** Have the browser keep the page: sw.js serves it when there is no network. Only https and loopback pages can be kept. */
export async function keepOffline(): Promise<void> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  const first = !navigator.serviceWorker.controller;
  try {
    await navigator.serviceWorker.register("sw.js");
    if (first) await keepCompiled();
  } catch {
    // It works without; the next visit tries again.
  }
}

/** Ask for onnxruntime once more, through sw.js: Chromium keeps compiled code beside the copy of a file that it is made of. */
async function keepCompiled(): Promise<void> {
  if (!navigator.serviceWorker.controller) {
    await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  }
  await WebAssembly.compileStreaming(fetch(wasmUrl));
}
