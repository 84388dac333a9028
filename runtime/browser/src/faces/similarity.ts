// How alike two boxes are, and two pictures of a face: fer_runtime/faces/similarity.py.
import { grey, part, round, blank, type Picture } from "../vision/picture";
import { resizeArea } from "../vision/resize";
import { similarity } from "./constants";
import type { Box } from "./types";

const { THUMBNAIL } = similarity;

/** Intersection over union, 0 to 1. */
export function overlap(a: Box, b: Box): number {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const inside = Math.max(0, width) * Math.max(0, height);
  return inside ? inside / (a[2] * a[3] + b[2] * b[3] - inside) : 0;
}

/** The box of a frame, as far as it is inside, in grey, 16 pixels square. */
export function thumbnail(image: Picture, box: Box): Picture {
  const [x, y, width, height] = box.map(round) as [number, number, number, number];
  const inside = part(image, x, y, Math.max(1, x + width), Math.max(1, y + height));
  return inside ? grey(resizeArea(inside, THUMBNAIL, THUMBNAIL)) : blank(THUMBNAIL, THUMBNAIL, 1);
}

/** Mean absolute difference of the bytes of two pictures of one size, 0..255. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += Math.abs(a[index]! - b[index]!);
  return sum / a.length;
}
