// What this device does with this file, as JSON that fer-bench reads; the harness returns the same.
import { hasSimd } from "../model/simd";
import type { Facts } from "../worker/engine";
import type { Remote } from "../worker/rpc";

/** Durations of single calls of the classifier with one face. */
export function timed(engine: Remote, warmup: number, runs: number, seconds: number): Promise<number[]> {
  return engine.call<number[]>("time", [warmup, runs, seconds]);
}

/** The file and the conditions. */
export function conditions({ site: { classifier }, manifest, threads, load_ms }: Facts) {
  return {
    file: classifier.file,
    sha256: classifier.sha256,
    file_bytes: classifier.bytes,
    precision: manifest.precision,
    parameters: manifest.parameters,
    macs: manifest.macs,
    labels: manifest.labels,
    load_ms,
    threads,
    simd: hasSimd(),
    cross_origin_isolated: crossOriginIsolated,
    hardware_concurrency: navigator.hardwareConcurrency,
    user_agent: navigator.userAgent,
  };
}
