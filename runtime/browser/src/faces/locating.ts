// Where known faces are now: a small network that sees the region around each face's last place:
// fer_runtime/faces/locating.py.
import * as ort from "onnxruntime-web/wasm";
import { blank, grey, round, square, type Picture } from "../vision/picture";
import { shrink } from "../vision/resize";
import { locating } from "./constants";
import type { Box, Detection, Point } from "./types";

const { SIZE, REGION } = locating;
type Square = [left: number, top: number, side: number];

/** It answers for one face in the region's middle, and always; its score says whether it is to be believed. */
export class Locator {
  constructor(private readonly session: ort.InferenceSession) {}

  /** One answer for each box, as one batch. */
  async find(image: Picture, boxes: readonly Box[]): Promise<Detection[]> {
    const squares = boxes.map(region), regions = new Uint8Array(boxes.length * SIZE * SIZE);
    squares.forEach((each, index) => regions.set(cut(image, ...each).data, index * SIZE * SIZE));
    const input = new ort.Tensor("uint8", regions, [boxes.length, 1, SIZE, SIZE]);
    const rows = (await this.session.run({ regions: input })).places!.data as Float32Array;
    return squares.map((each, index) => located(rows.subarray(15 * index), each));
  }
}

/** The region around a box, whole pixels; its side can be halved as often as `cut` does. */
function region([x, y, width, height]: Box): Square {
  const wanted = Math.max(2, REGION * Math.max(width, height));
  let step = 1;
  while (wanted / step >= 2 * SIZE) step *= 2;
  const side = step * round(wanted / step);
  return [round(x + width / 2 - side / 2), round(y + height / 2 - side / 2), side];
}

/** A square of an image in grey at the network's size. */
function cut(image: Picture, left: number, top: number, side: number): Picture {
  const found = square(image, left, top, side);
  return found ? shrink(grey(found), SIZE, SIZE) : blank(SIZE, SIZE, 1);
}

/** The network's outputs for one region: logit; middle, log size and landmarks, in its sides from its middle. */
function located(row: Float32Array, [left, top, side]: Square): Detection {
  const [width, height] = [3, 4].map((at) => Math.exp(Math.min(row[at]!, 1)) * side) as [number, number];
  const x = left + side / 2, y = top + side / 2;
  return {
    box: [x + row[1]! * side - width / 2, y + row[2]! * side - height / 2, width, height],
    score: 1 / (1 + Math.exp(-row[0]!)),
    landmarks: [5, 7, 9, 11, 13].map((at): Point => [row[at]! * side + x, row[at + 1]! * side + y]),
  };
}
