// The page of fer-run --web: faces and health come as server-sent events, the picture as motion JPEG.
import { at, begin, drawLine, percent, remember, showFaces } from "./faces.js";
let lastEvent = 0;

function showHealth(health) {
  at("rate").textContent = health.fps.toFixed(1);
  at("age").textContent = `${health.frame_age_ms.toFixed(0)} ms`;
  at("cpu").textContent = percent(health.cpu_cores);
  at("heat").hidden = health.temperature_c === null;
  if (health.temperature_c !== null) at("temperature").textContent = `${health.temperature_c.toFixed(0)} °C`;
  const held = health.throttled?.length ? `live, throttled: ${health.throttled.join(", ")}` : "live";
  show(held, "live");
}

function show(text, kind) {
  if (at("state").textContent !== text) at("state").textContent = text;
  at("state").className = `state ${kind}`;
  at("off").hidden = kind === "live";
}

// A broken stream of pictures is not reported by every browser, so it is asked for anew with the events.
function connect() {
  const events = new EventSource("/events");
  const on = (name, use) => events.addEventListener(name, (event) => { lastEvent = Date.now(); use(JSON.parse(event.data)); });
  on("start", ({ labels, line }) => { begin(labels, line); at("video").src = `/video?${Date.now()}`; });
  on("result", (result) => { showFaces(result); remember(result); });
  on("health", showHealth);
  events.onerror = () => {
    show("connection lost, trying again", "lost");
    lastEvent = 0;
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000); // refused: browsers give up by themselves
  };
}
connect();
setInterval(() => { if (lastEvent && Date.now() - lastEvent > 5000) show("no new frames", "stale"); }, 1000);
addEventListener("resize", drawLine);
