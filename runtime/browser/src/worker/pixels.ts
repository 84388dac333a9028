// The pixels of a frame of video or of a picture, in the worker.
import type { Picture } from "../vision/picture";

export type Shown = VideoFrame | ImageBitmap;
let canvas: OffscreenCanvas | undefined; // kept: a new one for each frame would be 1.2 MB to clean up
let copies = true; // whether this browser gives a frame's bytes in this form; if not, it draws them

/** Its pixels, RGBA; the frame is closed. */
export async function pixels(frame: Shown): Promise<Picture> {
  try {
    return (copies && "copyTo" in frame && (await copied(frame))) || drawn(frame);
  } finally {
    frame.close();
  }
}

/** A frame's bytes without a canvas, in half the time; null where it is turned or cropped, or the browser cannot. */
async function copied(frame: VideoFrame): Promise<Picture | null> {
  const { displayWidth: width, displayHeight: height, visibleRect } = frame;
  if (visibleRect?.width !== width || visibleRect.height !== height || ("rotation" in frame && frame.rotation)) return null;
  try {
    const data = new Uint8Array(4 * width * height);
    await frame.copyTo(data, { format: "RGBA", layout: [{ offset: 0, stride: 4 * width }] } as VideoFrameCopyToOptions);
    return { data, width, height, channels: 4 };
  } catch {
    copies = false;
    return null;
  }
}

function drawn(frame: Shown): Picture {
  const width = "displayWidth" in frame ? frame.displayWidth : frame.width;
  const height = "displayHeight" in frame ? frame.displayHeight : frame.height;
  if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true, alpha: false })!;
  pen.drawImage(frame, 0, 0, width, height);
  return { data: pen.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
