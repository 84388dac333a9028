// window.fer, for tests and benchmarks; only where the page is opened with ?harness. See README.md.
import * as constants from "./faces/constants";
import type { Box, Detection, Point } from "./faces/types";
import type { App } from "./page/app";
import { conditions, timed } from "./page/measure";
import type { Shown } from "./page/pump";
import { UNCERTAIN, type Face } from "./pipeline/loop";
import { newEngine, openEngine, type Opened } from "./worker/start";

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

let app: App | undefined;
let recorded: Shown[] = [];
const awaited: { count: number; resolve: () => void }[] = [];
const engines = new Map<number, Promise<Opened>>();

/** The worker with this many threads, started once; with one thread it is the page's own. */
function engineOf(threads: number): Promise<Opened> {
  const started = engines.get(threads) ?? (threads === 1 ? own() : another(threads));
  engines.set(threads, started);
  return started;
}

async function own(): Promise<Opened> {
  const { engine, opened } = page();
  return { engine, facts: await opened };
}

async function another(threads: number): Promise<Opened> {
  const engine = newEngine();
  return { engine, facts: await openEngine(engine, threads, false) };
}

function page(): App {
  if (!app) throw new Error("the harness is not installed");
  return app;
}

/** The page once its networks are open. */
async function opened(): Promise<App> {
  await page().opened;
  return page();
}

const harness = {
  /** Of the runtime, by file and name. */
  async constants() {
    return { ...constants, pipeline: { UNCERTAIN } };
  },

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
    return (await opened()).engine.call("detect", [bytes(rgba), width, height]);
  },

  async process(rgba: Bytes, width: number, height: number, at: number | null): Promise<Face[]> {
    return (await opened()).engine.call("process", [bytes(rgba), width, height, at]);
  },

  async reset(): Promise<void> {
    return (await opened()).engine.call("reset");
  },

  async bench({ threads = 1, warmup = 20, runs = 200, seconds = 60 }: BenchOptions = {}) {
    const { engine, facts } = await engineOf(threads);
    return { ...conditions(facts), times_ms: await timed(engine, warmup, runs, seconds) };
  },

  /** Keep every answer from now on; points: places of which each answer has the brightness (`greys`). */
  async record(points: Point[] = []): Promise<void> {
    const { pump } = await opened();
    recorded = [];
    pump.points = points;
    page().onAnswer = (answer) => {
      recorded.push(answer);
      for (const each of awaited) if (recorded.length >= each.count) each.resolve();
    };
  },

  /** Wait for as many answers since `record`. */
  answered(count: number): Promise<void> {
    return new Promise((resolve) => awaited.push({ count, resolve }));
  },

  async recorded(): Promise<Shown[]> {
    return recorded;
  },

  /** What the panel "About this device" copies. */
  async about() {
    return (await opened()).about.plain();
  },
};

export type Harness = typeof harness;

/** Define window.fer; the page may be opened or not, so that one without a model can be asked why. */
export function install(page: App): void {
  app = page;
  Object.assign(window, { fer: harness });
  document.documentElement.dataset.harness = "ready"; // to be waited for where the page may evaluate no text
}
