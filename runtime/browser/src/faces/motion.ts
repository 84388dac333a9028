// Boxes that move: what fer_runtime/faces/following.py computes of them.
import { following } from "./constants";
import type { Box, FaceState } from "./types";

const { MAX_OFFSET, MAX_PREDICTION_S, SIZE_TIME_CONSTANT_S } = following;

/** Whether a face is away from the middle of its region, or of another size than that was made for. */
export function isOff([x, y, width, height]: Box, anchor: Box): boolean {
  const longer = Math.max(width, height);
  const right = x + width / 2 - anchor[0] - anchor[2] / 2, down = y + height / 2 - anchor[1] - anchor[3] / 2;
  return Math.max(Math.abs(right), Math.abs(down), Math.abs(longer - Math.max(anchor[2], anchor[3]))) > MAX_OFFSET * longer;
}

/** Where a face is to be looked for: about its anchor, or, where it moves fast, where it should be by now. */
export function expected(face: FaceState, at: number): Box {
  const [x, y, width, height] = face.detection.box;
  const [right, down] = face.velocity.map((speed) => speed * Math.min(Math.max(0, at - face.seen), MAX_PREDICTION_S)) as [number, number];
  if (Math.max(Math.abs(right), Math.abs(down)) <= MAX_OFFSET * Math.max(width, height)) return face.anchor ?? face.detection.box;
  return [x + right, y + down, width, height];
}

/** Its mean with the last one, so that one odd box does not send the search astray; none after a longer absence. */
export function noteVelocity(face: FaceState, before: Box, seconds: number): void {
  if (!(seconds > 0 && seconds <= MAX_PREDICTION_S)) {
    if (seconds) face.velocity = [0, 0];
    return;
  }
  const box = face.detection.box;
  const speed = (axis: 0 | 1): number =>
    (face.velocity[axis] + (box[axis] + box[axis + 2]! / 2 - before[axis] - before[axis + 2]! / 2) / seconds) / 2;
  face.velocity = [speed(0), speed(1)];
}

/** Of a box from another: x and y of the middle in the other's sides, and the logarithms of the sides' ratios. */
export function offsetOf(box: Box, located: Box): [number, number, number, number] {
  const right = (box[0] + box[2] / 2 - located[0] - located[2] / 2) / located[2];
  const down = (box[1] + box[3] / 2 - located[1] - located[3] / 2) / located[3];
  return [right, down, Math.log(box[2] / located[2]), Math.log(box[3] / located[3])];
}

/** The box moved and enlarged by an `offsetOf`. */
export function corrected(box: Box, [right, down, wider, higher]: FaceState["offset"]): Box {
  const width = box[2] * Math.exp(wider), height = box[3] * Math.exp(higher);
  return [box[0] + (0.5 + right) * box[2] - width / 2, box[1] + (0.5 + down) * box[3] - height / 2, width, height];
}

/** The box with sides averaged over time, as a face's size changes slowly and the locator's flickers. */
export function steadied(box: Box, last: Box, seconds: number): Box {
  const share = 1 - Math.exp(-Math.max(0, seconds) / SIZE_TIME_CONSTANT_S);
  const width = last[2] + share * (box[2] - last[2]), height = last[3] + share * (box[3] - last[3]);
  return [box[0] + (box[2] - width) / 2, box[1] + (box[3] - height) / 2, width, height];
}
