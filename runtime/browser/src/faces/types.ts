import type { Smoother } from "./smoothing";
import type { Picture } from "../vision/picture";

/** x, y, width, height in pixels of the frame. */
export type Box = readonly [number, number, number, number];
export type Point = readonly [number, number];

/** A face in a frame. */
export interface Detection {
  box: Box;
  score: number; // 0..1
  landmarks: Point[]; // the eye on the picture's left, the other, nose, mouth corners in the same order
}

/** All that is remembered of one face: fer_runtime/faces/state.py. */
export interface FaceState {
  number: number; // from 1; never given twice
  detection: Detection;
  seen: number; // when that was, seconds on the source's clock
  velocity: Point; // of its middle, pixels per second
  confirmed: number; // when the detector last saw it, not the locator alone
  checks: number; // how often the locator's box was held against the detector's
  nextCheck: number; // when it is the next time
  nextLook: number; // when the detector looks for it again, where it did not see it
  offset: readonly [number, number, number, number]; // of the detector's box from the locator's, averaged
  anchor: Box | null; // the box about which the locator's region lies
  thumbnail: Picture | null; // when its region was last searched by the detector
  smoother: Smoother;
  crop: Uint8Array | null; // the last that was classified
  probabilities: Float32Array | null; // of that crop
  classified: number; // when that was
}
