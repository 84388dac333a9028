// The worker: all networks and all work on pictures, so that the page never waits for them.
import { Detector } from "../faces/detection";
import { Locator } from "../faces/locating";
import { Tracker } from "../faces/tracking";
import type { Box, Detection, Point } from "../faces/types";
import { readManifest, type Manifest } from "../model/manifest";
import { crop, tilt } from "../model/preprocessing";
import { Classifier, configure, openSession, startRuntime } from "../model/session";
import { loadFile, loadSite, type Site, type SiteFile } from "../model/site";
import { Loop, type Face } from "../pipeline/loop";
import type { Picture } from "../vision/picture";
import { pixels, type Shown } from "./pixels";
import { serve } from "./rpc";

/** What is known once the networks are open. */
export interface Facts { site: Site; manifest: Manifest; threads: number; load_ms: number; transferred_bytes: number }
/** The faces of one frame; `read` and `work`: milliseconds for its pixels, and for the rest. */
export interface Answer { faces: Face[]; width: number; height: number; read_ms: number; work_ms: number; greys: number[] }

let base = "";
let classifier: Classifier | undefined;
let whole: Detector, nearby: Detector, proposer: Detector, locator: Locator;
let loop: Loop | undefined;

function opened<T>(part: T | undefined): T {
  if (!part) throw new Error("call open first");
  return part;
}

async function session(entry: SiteFile) {
  return openSession(await loadFile(entry, base), entry.file);
}

/** Load the site's networks. address: the page's; threads: wanted; faces: whether those for faces too, or the classifier alone. */
async function open(address: string, threads: number, faces: boolean): Promise<Facts> {
  const began = performance.now(), used = configure(threads);
  base = address;
  const started = startRuntime();
  started.catch(() => {}); // until it is waited for
  const site = await loadSite(base);
  const manifest = readManifest(site.classifier.manifest, `model/${site.classifier.file}`);
  const [classifying] = await Promise.all([session(site.classifier), faces && openFaces(site), started]);
  classifier = new Classifier(classifying, manifest);
  if (faces) reset();
  return { site, manifest, threads: used, load_ms: performance.now() - began, transferred_bytes: transferred() };
}

/** The networks that find and follow faces. */
async function openFaces(site: Site): Promise<void> {
  const [finding, locating] = await Promise.all([session(site.detector), session(site.locator)]);
  whole = new Detector(finding);
  nearby = Detector.nearby(finding);
  proposer = Detector.proposing(finding);
  locator = new Locator(locating);
}

/** Bytes that the worker's files took, compressed as they came. */
function transferred(): number {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  return entries.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
}

/** Forget all faces: the next frame is the first of another source. */
function reset(): void {
  loop = new Loop(new Tracker(whole, nearby, locator, proposer), opened(classifier));
}

/** The faces of a frame at `at` seconds (null: of a picture). points: places of which the brightness is wanted. */
async function frame(shown: Shown, at: number | null, points: Point[] = []): Promise<Answer> {
  const began = performance.now(), image = await pixels(shown), read = performance.now();
  const { width, height, data } = image;
  const greys = points.map(([x, y]) => data[4 * (y * width + x) + 1]!);
  const faces = await opened(loop).process(image, at);
  return { faces, width, height, read_ms: read - began, work_ms: performance.now() - read, greys };
}

/** Milliseconds of single calls with one face: `warmup` calls that do not count, then `runs`, for `seconds` at most. */
async function time(warmup: number, runs: number, seconds: number): Promise<number[]> {
  const network = opened(classifier);
  const face = new Uint8Array(network.faceBytes).map((_, index) => (index * 2654435761) >>> 24);
  for (let run = 0; run < warmup; run++) await network.run("probabilities", face, 1);
  const times: number[] = [], end = performance.now() + seconds * 1e3;
  while (times.length < runs && (performance.now() < end || times.length === 0)) {
    const began = performance.now();
    await network.run("probabilities", face, 1);
    times.push(performance.now() - began);
  }
  return times;
}

const rgba = (data: Uint8Array, width: number, height: number): Picture => ({ data, width, height, channels: 4 });

serve({
  open,
  reset,
  frame,
  time,
  logits: (faces: Uint8Array, n: number) => opened(classifier).run("logits", faces, n),
  crop: (data: Uint8Array, width: number, height: number, box: Box, landmarks: Point[] | null) =>
    crop(rgba(data, width, height), box, opened(classifier).manifest, landmarks ? tilt(landmarks) : 0),
  detect: (data: Uint8Array, width: number, height: number): Promise<Detection[]> => whole.find(rgba(data, width, height)),
  process: (data: Uint8Array, width: number, height: number, at: number | null) => opened(loop).process(rgba(data, width, height), at),
});
