// window.fer, for tests and benchmarks; only where the page is opened with ?harness. See README.md.
import type { Box, Detection, Point } from "./faces/types";
import { hasSimd } from "./model/simd";
import { UNCERTAIN, type Face } from "./pipeline/loop";
import { startEngine } from "./worker/start";
import type { Remote } from "./worker/rpc";

type Bytes = Uint8Array | number[] | string; // a string is base64
interface BenchOptions { threads?: number; warmup?: number; runs?: number; seconds?: number }
interface Place { box: Box; landmarks?: Point[] }

const bytes = (given: Bytes): Uint8Array =>
  typeof given === "string" ? Uint8Array.from(atob(given), (letter) => letter.charCodeAt(0)) : Uint8Array.from(given);

function base64(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}

const engines = new Map<number, ReturnType<typeof startEngine>>();
let withFaces: Promise<Remote> | undefined;

/** The worker with this many threads, started once. */
function engineOf(threads: number): ReturnType<typeof startEngine> {
  const started = engines.get(threads) ?? startEngine(threads);
  engines.set(threads, started);
  return started;
}

/** The worker with one thread, and the networks for faces open. */
async function faceEngine(): Promise<Remote> {
  const { engine } = await engineOf(1);
  withFaces ??= engine.call("openFaces").then(() => engine);
  return withFaces;
}

const harness = {
  UNCERTAIN,

  async facts() {
    return (await engineOf(1)).facts;
  },

  async logits(faces: Bytes, n: number): Promise<number[][]> {
    const { engine, facts } = await engineOf(1);
    const flat = await engine.call<Float32Array>("logits", [bytes(faces), n]);
    const classes = facts.manifest.labels.length;
    return Array.from({ length: n }, (_, row) => Array.from(flat.subarray(row * classes, (row + 1) * classes)));
  },

  async crops(rgba: Bytes, width: number, height: number, places: Place[]): Promise<string[]> {
    const { engine } = await engineOf(1), data = bytes(rgba);
    const crops = places.map(({ box, landmarks }) => engine.call<Uint8Array>("crop", [data, width, height, box, landmarks ?? null]));
    return (await Promise.all(crops)).map(base64);
  },

  async detect(rgba: Bytes, width: number, height: number): Promise<Detection[]> {
    return (await faceEngine()).call("detect", [bytes(rgba), width, height]);
  },

  async process(rgba: Bytes, width: number, height: number, at: number | null): Promise<Face[]> {
    return (await faceEngine()).call("process", [bytes(rgba), width, height, at]);
  },

  async reset(): Promise<void> {
    return (await faceEngine()).call("reset");
  },

  async bench({ threads = 1, warmup = 20, runs = 200, seconds = 60 }: BenchOptions = {}) {
    const { engine, facts } = await engineOf(threads);
    return {
      times_ms: await engine.call<number[]>("time", [warmup, runs, seconds]),
      simd: hasSimd(),
      threads: facts.threads,
      cross_origin_isolated: crossOriginIsolated,
      load_ms: facts.load_ms,
      sha256: facts.site.classifier.sha256,
      precision: facts.manifest.precision,
      userAgent: navigator.userAgent,
    };
  },
};

export type Harness = typeof harness;
Object.assign(window, { fer: harness });
