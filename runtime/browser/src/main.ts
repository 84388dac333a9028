import { App } from "./page/app";
import { keepOffline } from "./page/offline";

const harness = new URLSearchParams(location.search).has("harness");
const app = new App();
if (harness) void import("./harness").then(({ install }) => install(app));
app.opened.then(() => void (harness || keepOffline()), () => {}); // the page says what was in the way
