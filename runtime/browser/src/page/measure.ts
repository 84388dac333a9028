// What this device does with this file, as JSON that fer-bench reads; the harness returns the same.
import { hasSimd } from "../model/simd";
import type { Facts } from "../worker/engine";
import type { Remote } from "../worker/rpc";

/** Durations of single calls of the classifier with one face, and the conditions. */
export async function measure(engine: Remote, facts: Facts, warmup: number, runs: number, seconds: number) {
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
}

export type Measured = Awaited<ReturnType<typeof measure>>;
