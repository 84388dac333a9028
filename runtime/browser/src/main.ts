import { startApp } from "./page/app";
import { keepOffline } from "./page/offline";

const harness = new URLSearchParams(location.search).has("harness");
const app = startApp();
if (harness) void import("./harness").then(({ install }) => install(app));
app.then(() => harness || keepOffline(), () => {}); // the page says what was in the way
