/** Have the browser keep the page: sw.js serves it when there is no network. Only https and loopback pages can be kept. */
export function keepOffline(): void {
  if (import.meta.env.PROD && "serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
}
