// What the page must know of a classifier, from the manifest that its ONNX file carries (docs/reference/contract.md).
import { FerError } from "../errors";

export const SCHEMA = 1;
export const CHANNELS = { grey: 1, rgb: 3 } as const;

/** Where the detector's box falls in a training face, in shares of the training frame's side. */
export interface Framing { centre_x: number; centre_y: number; height: number }

export interface Manifest {
  labels: string[]; // in the order of the logits
  size: number; // side of the input, pixels
  colour: keyof typeof CHANNELS;
  framing: Framing;
  precision: string;
  parameters: number;
  macs: number; // multiply-adds per face
  intended_use: string;
  measured: unknown; // accuracies, each with split and n
}

/** The manifest in plain data. Throws a FerError that names the first field that is wrong. */
export function readManifest(plain: unknown, file: string): Manifest {
  if (typeof plain !== "object" || plain === null) {
    throw new FerError(`${file} carries no fer-edge manifest: expected a file that fer-export wrote.`);
  }
  const found = plain as Record<string, unknown>;
  if (found.schema !== SCHEMA) {
    throw new FerError(`The manifest in ${file} has schema ${JSON.stringify(found.schema)}, expected ${SCHEMA}: build this page with a matching fer-edge.`);
  }
  const wrong = Object.entries(CHECKS).find(([name, check]) => !check(found[name]));
  if (wrong) throw new FerError(`The manifest in ${file} has an unusable ${wrong[0]}: export the model again with fer-export.`);
  return found as unknown as Manifest;
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const CHECKS: Record<keyof Manifest, (value: unknown) => boolean> = {
  labels: (value) => Array.isArray(value) && value.length > 1 && value.every((label) => typeof label === "string" && label !== ""),
  size: (value) => Number.isInteger(value) && (value as number) >= 8 && (value as number) <= 512,
  colour: (value) => typeof value === "string" && value in CHANNELS,
  framing: (value) => {
    const framing = value as Framing | null;
    return isNumber(framing?.centre_x) && isNumber(framing.centre_y) && isNumber(framing.height) && framing.height > 0.05;
  },
  precision: (value) => typeof value === "string",
  parameters: isNumber,
  macs: isNumber,
  intended_use: (value) => typeof value === "string",
  measured: Array.isArray,
};
