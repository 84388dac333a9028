// The pixels of a frame of video or of a picture, in the worker.
import type { Picture } from "../vision/picture";

export type Shown = VideoFrame | ImageBitmap;
let canvas: OffscreenCanvas | undefined; // kept: a new one for each frame would be 1.2 MB to clean up

/** Its pixels, RGBA; the frame is closed. */
export function pixels(frame: Shown): Picture {
  const width = "displayWidth" in frame ? frame.displayWidth : frame.width;
  const height = "displayHeight" in frame ? frame.displayHeight : frame.height;
  if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true, alpha: false })!;
  pen.drawImage(frame, 0, 0, width, height);
  frame.close();
  return { data: pen.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
