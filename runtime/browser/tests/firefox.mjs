// The logits that the page gives in Firefox, driven through WebDriver BiDi: node firefox.mjs FIREFOX ADDRESS COUNT
// Faces as base64 on standard input; on standard output [count][classes] as JSON.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [executablePath, address, count] = process.argv.slice(2), TIMEOUT_MS = 120_000;
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true, timeout: TIMEOUT_MS, protocolTimeout: TIMEOUT_MS });
try {
  const page = await browser.newPage();
  await page.goto(`${address}?harness`);
  await page.waitForSelector("html[data-harness]", { timeout: TIMEOUT_MS });
  const ask = (faces, n) => window.fer.logits(faces, n);
  console.log(JSON.stringify(await page.evaluate(ask, readFileSync(0, "utf8"), Number(count))));
} finally {
  await browser.close();
}
