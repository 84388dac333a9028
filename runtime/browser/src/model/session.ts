// onnxruntime in WebAssembly, set up once per worker, and the classifier on top of it.
import * as ort from "onnxruntime-web/wasm";
import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import wasmModuleUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import { FerError } from "../errors";
import { CHANNELS, type Manifest } from "./manifest";
import { hasSimd } from "./simd";

const OPTIONS: ort.InferenceSession.SessionOptions = { executionProviders: ["wasm"], logSeverityLevel: 4 };

/** How many threads can be had: more than one needs a cross-origin isolated page, for shared memory. */
export const usableThreads = (wanted: number): number =>
  globalThis.crossOriginIsolated ? Math.max(1, Math.min(wanted, navigator.hardwareConcurrency || 1)) : 1;

/** Choose the number of threads; before the first session of this worker. Returns how many there are. */
export function configure(threads: number): number {
  if (!hasSimd()) {
    throw new FerError("This browser has no WebAssembly SIMD, which the networks need: use one from 2023 or later (Chrome, Edge, Firefox, Safari 16.4).");
  }
  ort.env.logLevel = "fatal"; // its errors come back as exceptions
  ort.env.wasm.numThreads = usableThreads(threads);
  ort.env.wasm.wasmPaths = { wasm: new URL(wasmUrl, import.meta.url).href, mjs: new URL(wasmModuleUrl, import.meta.url).href };
  return ort.env.wasm.numThreads;
}

// One Softmax, as an ONNX file.
const SMALLEST = "CAk6PgoPCgF4EgF5IgdTb2Z0bWF4EgF0WhMKAXgSDgoMCAESCAoCCAEKAggHYhMKAXkSDgoMCAESCAoCCAEKAggHQgQKABAS";

/** Have onnxruntime compiled and its operators registered, which the first session does; meanwhile the files can load. */
export async function startRuntime(): Promise<void> {
  const model = Uint8Array.from(atob(SMALLEST), (letter) => letter.charCodeAt(0));
  try {
    await (await ort.InferenceSession.create(model, OPTIONS)).release();
  } catch (error) {
    throw new FerError(`onnxruntime, which computes the networks, cannot start (${reason(error)}): reload the page, or build it again with \`make web-demo\`.`);
  }
}

/** A session on a model's bytes. Throws a FerError that names `file` for what onnxruntime cannot open. */
export async function openSession(model: Uint8Array, file: string): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(model, OPTIONS);
  } catch (error) {
    throw new FerError(`model/${file} cannot be opened (${reason(error)}): export the model again with fer-export.`);
  }
}

const reason = (error: unknown): string => String(error instanceof Error ? error.message : error).split("\n")[0]!;

/** An exported file, opened: cropped faces in, logits and probabilities out. */
export class Classifier {
  constructor(private readonly session: ort.InferenceSession, readonly manifest: Manifest) {
    const missing = ["faces"].filter((name) => !session.inputNames.includes(name))
      .concat(["logits", "probabilities"].filter((name) => !session.outputNames.includes(name)));
    if (missing.length) throw new FerError(`The classifier has no ${missing[0]}: export the model again with fer-export.`);
  }

  get faceBytes(): number {
    return CHANNELS[this.manifest.colour] * this.manifest.size ** 2;
  }

  /** faces: n crops of [channels, size, size], one after the other -> [n, classes] of `output`. */
  async run(output: "logits" | "probabilities", faces: Uint8Array, n: number): Promise<Float32Array> {
    const { size, colour, labels } = this.manifest;
    if (faces.length !== n * this.faceBytes) throw new Error(`expected ${n * this.faceBytes} pixels, found ${faces.length}`);
    const input = new ort.Tensor("uint8", faces, [n, CHANNELS[colour], size, size]);
    const found = (await this.session.run({ faces: input }, [output]))[output]?.data as Float32Array;
    if (found.length !== n * labels.length || !found.every(Number.isFinite)) {
      throw new FerError("The classifier's output is not one finite number for each of its labels: export the model again.");
    }
    return found;
  }
}
