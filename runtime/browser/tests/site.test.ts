// What the model folder is held against, with a real server.
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readManifest } from "../src/model/manifest";
import { loadFile, loadSite } from "../src/model/site";

const WEIGHTS = Buffer.from("weights"), sha256 = createHash("sha256").update(WEIGHTS).digest("hex");
const entry = { file: "a.onnx", sha256, bytes: WEIGHTS.length };
const FILES: Record<string, string | Buffer> = {
  "/good/model/site.json": JSON.stringify({ classifier: entry, detector: entry, locator: entry, version: "1" }),
  "/good/model/a.onnx": WEIGHTS,
  "/partial/model/site.json": JSON.stringify({ classifier: entry }),
  "/text/model/site.json": "<html>",
};
let server: Server, root: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    const found = FILES[request.url!.split("?")[0]!];
    response.writeHead(found === undefined ? 404 : 200).end(found);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

test("a whole folder below a path", async () => {
  const site = await loadSite(`${root}/good/index.html`);
  expect(Buffer.from(await loadFile(site.classifier, `${root}/good/`))).toEqual(WEIGHTS);
});

test.each([
  ["absent", "is not beside this page (status 404)"],
  ["partial", "does not name the detector's file, sha256 and bytes"],
  ["text", "is not JSON"],
])("a folder that is %s", async (folder, words) => {
  await expect(loadSite(`${root}/${folder}/`)).rejects.toThrow(words);
});

test("a file that is cut short, and one of other bytes", async () => {
  await expect(loadFile({ ...entry, bytes: 8 }, `${root}/good/`)).rejects.toThrow("expected 8 bytes, found 7");
  await expect(loadFile({ ...entry, sha256: "0".repeat(64) }, `${root}/good/`)).rejects.toThrow("is not the file");
});

test("a server that does not answer", async () => {
  await expect(loadSite("http://127.0.0.1:1/")).rejects.toThrow("check the connection");
});

const MANIFEST = {
  schema: 1, labels: ["a", "b"], size: 48, colour: "grey", framing: { centre_x: 0.5, centre_y: 0.5, height: 1 },
  precision: "int8", parameters: 1, macs: 1, intended_use: "", measured: [],
};

test("a manifest with any labels", () => {
  expect(readManifest(MANIFEST, "m").labels).toEqual(["a", "b"]);
});

test.each([
  [undefined, "carries no fer-edge manifest"],
  [{ ...MANIFEST, schema: 2 }, "has schema 2, expected 1"],
  [{ ...MANIFEST, labels: ["a"] }, "unusable labels"],
  [{ ...MANIFEST, size: 4.5 }, "unusable size"],
  [{ ...MANIFEST, colour: "cmyk" }, "unusable colour"],
  [{ ...MANIFEST, framing: { centre_x: 0.5 } }, "unusable framing"],
])("a manifest that cannot be used: %j", (plain, words) => {
  expect(() => readManifest(plain, "m")).toThrow(words);
});
