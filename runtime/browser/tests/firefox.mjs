// The logits that the page gives in Firefox, driven through WebDriver BiDi: node firefox.mjs FIREFOX ADDRESS COUNT
// Faces as base64 on standard input; on standard output [count][classes] as JSON.
import { text } from "node:stream/consumers";
import puppeteer from "puppeteer-core";

const [executablePath, address, count] = process.argv.slice(2), TIMEOUT_MS = 120_000;
const faces = await text(process.stdin); // before the browser starts, which leaves this stream without waiting
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true, timeout: TIMEOUT_MS, protocolTimeout: TIMEOUT_MS });
try {
  const page = await browser.newPage();
  await page.goto(`${address}?harness`);
  await page.waitForSelector("html[data-harness]", { timeout: TIMEOUT_MS });
  const ask = (given, n) => window.fer.logits(given, n);
  console.log(JSON.stringify(await page.evaluate(ask, faces, Number(count))));
} finally {
  await browser.close();
}
