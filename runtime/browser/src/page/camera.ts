// The visitor's camera, and a sentence for everything that can be in its way.
import { FerError } from "../errors";

export const RATE = 30; // frames per second that are asked for
const WANTED: MediaStreamConstraints = {
  audio: false,
  video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: RATE }, facingMode: "user" },
};

const SENTENCES: Record<string, string> = {
  NotAllowedError: "The camera was refused: allow it for this page in the browser's address bar, then press “Use the camera” again.",
  SecurityError: "This browser lets no page use a camera: change that in its settings, or open a picture or video.",
  NotFoundError: "No camera was found: connect one and press “Use the camera” again, or open a picture or video.",
  NotReadableError: "The camera is taken by another program, or it does not answer: close that program and press “Use the camera” again.",
  AbortError: "The camera stopped before it gave a picture: connect it again and press “Use the camera”.",
  OverconstrainedError: "The camera gives no picture of a usable size: connect another one, or open a picture or video.",
};
export const UNPLUGGED = "The camera is gone (unplugged, or taken back): connect it or allow it again, then press “Use the camera”.";
export const MUTED = "The camera gives no picture at the moment: is it covered, switched off, or used by another program?";
const INSECURE =
  "Browsers give a camera only to pages of https or of this very device: open this page through https or at http://localhost, or open a picture or video.";

/** The camera's stream. Throws a FerError where there is none. */
export async function openCamera(): Promise<MediaStream> {
  if (!isSecureContext) throw new FerError(INSECURE);
  if (!navigator.mediaDevices?.getUserMedia) throw new FerError("This browser gives pages no camera: use another one, or open a picture or video.");
  try {
    return await navigator.mediaDevices.getUserMedia(WANTED);
  } catch (error) {
    const name = error instanceof Error ? error.name : String(error);
    throw new FerError(SENTENCES[name] ?? `The camera cannot be used (${name}): connect another one, or open a picture or video.`);
  }
}
