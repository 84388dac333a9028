// The worker: all networks and all work on pictures, so that the page never waits for them.
import { readManifest, type Manifest } from "../model/manifest";
import { Classifier, configure, openSession } from "../model/session";
import { loadFile, loadSite, type Site } from "../model/site";
import { serve } from "./rpc";

export interface Facts { site: Site; manifest: Manifest; threads: number; load_ms: number }

let classifier: Classifier | undefined;

function opened<T>(part: T | undefined): T {
  if (!part) throw new Error("call open first");
  return part;
}

/** Load the site's classifier. base: the page's address; threads: wanted. */
async function open(base: string, threads: number): Promise<Facts> {
  const began = performance.now();
  const used = configure(threads);
  const site = await loadSite(base);
  const manifest = readManifest(site.classifier.manifest, `model/${site.classifier.file}`);
  classifier = new Classifier(await openSession(await loadFile(site.classifier, base), site.classifier.file), manifest);
  return { site, manifest, threads: used, load_ms: performance.now() - began };
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

serve({
  open,
  time,
  logits: (faces: Uint8Array, n: number) => opened(classifier).run("logits", faces, n),
});
