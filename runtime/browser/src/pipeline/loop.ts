// frame -> tracks -> crops -> one batch through the classifier -> smoothing -> result: fer_runtime/pipeline/loop.py.
import { loop } from "../faces/constants";
import { difference } from "../faces/similarity";
import { likeliest } from "../faces/smoothing";
import type { Tracker } from "../faces/tracking";
import type { Box, FaceState } from "../faces/types";
import { crop, tilt } from "../model/preprocessing";
import type { Classifier } from "../model/session";
import { round, type Picture } from "../vision/picture";

const { UNCHANGED, MAX_AGE_S } = loop;
export const UNCERTAIN = "uncertain";

/** One face in one frame. */
export interface Face {
  track: number; // the face's number, the same for as long as it is followed
  box: Box; // whole pixels of the frame
  score: number; // the detector's or locator's, 0..1
  label: string; // smoothed over time; "uncertain" while none is likely enough
  probabilities: number[]; // smoothed over time, in the order of the model's labels
  raw: number[]; // in this frame alone
}

/** Follows the faces of a source's frames and names their expressions. */
export class Loop {
  constructor(private readonly tracker: Tracker, private readonly classifier: Classifier) {}

  /** The faces that are seen in one frame, the longest known first. at: its time, seconds; null for a picture. */
  async process(image: Picture, at: number | null): Promise<Face[]> {
    const seen = (await this.tracker.track(image, at)).filter((face) => at === null || face.seen === at);
    await this.#classify(image, seen, at);
    return seen.map((face) => this.#face(face, at));
  }

  /** Bring the faces' probabilities up to date: those whose crop changed are classified, as one batch. */
  async #classify(image: Picture, faces: readonly FaceState[], at: number | null): Promise<void> {
    const { manifest, faceBytes } = this.classifier;
    const fresh = faces.flatMap((face) => {
      const now = crop(image, face.detection.box, manifest, tilt(face.detection.landmarks));
      return isNew(face, now, at) ? [{ face, now }] : [];
    });
    if (!fresh.length) return;
    const batch = new Uint8Array(fresh.length * faceBytes);
    fresh.forEach(({ now }, index) => batch.set(now, index * faceBytes));
    const rows = await this.classifier.run("probabilities", batch, fresh.length), classes = manifest.labels.length;
    fresh.forEach(({ face, now }, index) => {
      Object.assign(face, { crop: now, probabilities: rows.slice(index * classes, (index + 1) * classes), classified: at ?? 0 });
    });
  }

  #face(face: FaceState, at: number | null): Face {
    const { labels } = this.classifier.manifest, raw = Array.from(face.probabilities!);
    const { average, shown } = at === null ? { average: raw, shown: likeliest(raw) } : face.smoother.next(raw, at);
    return {
      track: face.number,
      box: face.detection.box.map(round) as unknown as Box,
      score: face.detection.score,
      label: shown === null ? UNCERTAIN : labels[shown]!,
      probabilities: average,
      raw,
    };
  }
}

/** Whether this crop is to be classified: it is not as the face's last one, or that was long ago. */
function isNew({ crop: last, classified }: FaceState, now: Uint8Array, at: number | null): boolean {
  if (!last || at === null || !(at - classified >= 0 && at - classified < MAX_AGE_S)) return true;
  return difference(last, now) >= UNCHANGED;
}
