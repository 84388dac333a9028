// From a detection in a frame to the square crop that the network was trained on: fer_runtime/model/preprocessing.py.
import { preprocessing } from "../faces/constants";
import type { Box, Point } from "../faces/types";
import { blank, grey, round, square, type Picture } from "../vision/picture";
import { resizeArea, resizeLinear } from "../vision/resize";
import { rotated } from "../vision/rotate";
import type { Framing, Manifest } from "./manifest";

const { MIN_TILT, MAX_TILT } = preprocessing;

/** [left, top, side] of the square in which `box` lies as it does in the training faces. */
function cropSquare(box: Box, framing: Framing): [number, number, number] {
  const [x, y, width, height] = box, side = height / framing.height;
  return [x + width / 2 - framing.centre_x * side, y + height / 2 - framing.centre_y * side, side];
}

/** Degrees by which a face leans clockwise; 0 below MIN_TILT and beyond MAX_TILT. */
export function tilt(landmarks: readonly Point[]): number {
  const [left, right] = landmarks as [Point, Point];
  const angle = (Math.atan2(right[1] - left[1], right[0] - left[0]) * 180) / Math.PI;
  return Math.abs(angle) >= MIN_TILT && Math.abs(angle) <= MAX_TILT ? angle : 0;
}

/** The face in `box` as the classifier takes it: bytes of [channels, size, size]. angle: see `tilt`. */
export function crop(frame: Picture, box: Box, manifest: Manifest, angle: number): Uint8Array {
  const { size, colour } = manifest, [left, top, side] = cropSquare(box, manifest.framing);
  if (!angle) return joined(planes(frame, left, top, side, size, colour));
  const margin = Math.floor((size + 3) / 4), beyond = (side * margin) / size; // at 45 degrees the corners reach that far
  const wide = planes(frame, left - beyond, top - beyond, side + 2 * beyond, size + 2 * margin, colour);
  return joined(wide.map((plane) => rotated(plane, size, angle)));
}

/** The square of the frame at another size, one grey picture for each channel; black where nothing of it is inside. */
function planes(frame: Picture, left: number, top: number, side: number, size: number, colour: Manifest["colour"]): Picture[] {
  const found = square(frame, round(left), round(top), Math.max(1, round(side))) ?? blank(1, 1, frame.channels);
  const image = colour === "grey" ? grey(found) : found;
  const sized = image.width > size ? resizeArea(image, size, size) : resizeLinear(image, size, size);
  return colour === "grey" ? [sized] : [0, 1, 2].map((channel) => plane(sized, channel));
}

function plane({ data, width, height }: Picture, channel: number): Picture {
  const out = blank(width, height, 1);
  for (let index = 0; index < out.data.length; index++) out.data[index] = data[4 * index + channel]!;
  return out;
}

function joined(parts: Picture[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of parts) {
    out.set(data, at);
    at += data.length;
  }
  return out;
}
