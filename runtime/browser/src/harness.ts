// window.fer, for tests and benchmarks; only where the page is opened with ?harness. See README.md.
import { hasSimd } from "./model/simd";
import { startEngine } from "./worker/start";

type Bytes = Uint8Array | number[] | string; // a string is base64
interface BenchOptions { threads?: number; warmup?: number; runs?: number; seconds?: number }

const bytes = (given: Bytes): Uint8Array =>
  typeof given === "string" ? Uint8Array.from(atob(given), (letter) => letter.charCodeAt(0)) : Uint8Array.from(given);

const engines = new Map<number, ReturnType<typeof startEngine>>();

/** The worker with this many threads, started once. */
function engineOf(threads: number): ReturnType<typeof startEngine> {
  const started = engines.get(threads) ?? startEngine(threads);
  engines.set(threads, started);
  return started;
}

const harness = {
  async facts() {
    return (await engineOf(1)).facts;
  },

  async logits(faces: Bytes, n: number): Promise<number[][]> {
    const { engine, facts } = await engineOf(1);
    const flat = await engine.call<Float32Array>("logits", [bytes(faces), n]);
    const classes = facts.manifest.labels.length;
    return Array.from({ length: n }, (_, row) => Array.from(flat.subarray(row * classes, (row + 1) * classes)));
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
