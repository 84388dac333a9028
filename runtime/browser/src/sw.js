// Keeps the page for when there is no network. The build puts in place of the two names its files and their hash.
const FILES = __FILES__, CACHE = "fer-edge-__VERSION__", INDEX = "./", FACTS = "model/site.json";

self.addEventListener("install", (event) => event.waitUntil(keep().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(forget().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const { request } = event, inside = request.url.startsWith(self.registration.scope);
  if (request.method === "GET" && inside) event.respondWith(answer(request));
});

// The page's files by names that change with their content, as the visit that installs this has just loaded them; what
// keeps its name is asked for anew.
async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll([INDEX, FACTS].map((name) => new Request(name, { cache: "no-cache" })));
  const facts = await (await cache.match(FACTS)).json();
  await cache.addAll([...FILES, ...models(facts)].map((name) => new Request(name, { cache: "force-cache" })));
}

const models = (facts) => Object.values(facts).filter(({ file }) => file).map(({ file, sha256 }) => `model/${file}?${sha256.slice(0, 16)}`);

async function forget() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("fer-edge-") && name !== CACHE).map((name) => caches.delete(name)));
}

async function answer(request) {
  const cache = await caches.open(CACHE), path = request.url.slice(self.registration.scope.length);
  if (request.mode === "navigate" || path === FACTS) return fresh(cache, request, path === FACTS ? FACTS : INDEX);
  const kept = await cache.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok && path.startsWith("model/")) await replace(cache, request, response.clone());
  return response;
}

// Over the network, or as it was kept.
async function fresh(cache, request, name) {
  try {
    const response = await fetch(request);
    if (response.ok && name === FACTS) await cache.put(name, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(name);
    if (!kept) throw error;
    return kept;
  }
}

// A model takes the place of the one of the same file.
async function replace(cache, request, response) {
  const file = request.url.split("?")[0];
  for (const old of await cache.keys()) if (old.url.split("?")[0] === file) await cache.delete(old);
  await cache.put(request, response);
}
