// Where known faces are now: by the locator, and by the detector where the locator is not sure:
// fer_runtime/faces/following.py.
import { part, round, type Picture } from "../vision/picture";
import { detection as detecting, following } from "./constants";
import { corrected, expected, isOff, noteVelocity, offsetOf, steadied } from "./motion";
import { moved, type Detector } from "./detection";
import type { Locator } from "./locating";
import { difference, overlap, thumbnail } from "./similarity";
import type { Box, Detection, FaceState } from "./types";

const { REGION, MIN_LOCATED, CHECK_INTERVALS_S, MAX_UNCONFIRMED_S, PRIOR_CHECKS, MIN_WEIGHT, RETRY_S, STILL, MIN_OVERLAP } = following;
const { MIN_SCORE } = detecting;
export type Found = ReadonlyMap<number, Detection>; // by the face's number, what a search of the frame found of it; where it is not sure (MIN_SCORE), a place to look at
interface Located { detection: Detection; anchor: Box } // and the box about which the locator looked

/** Brings every known face to where it is now. */
export class Follower {
  readonly most = 32; // faces; following more of them costs more than searching the whole frame

  constructor(private readonly nearby: Detector, private readonly locator: Locator) {}

  /**
   * Update what is known of these faces; one that is not found stays as it was. at: the frame's time, seconds. busy:
   * whether this frame costs enough already, so that what may wait does. locate: whether the locator is asked; the last
   * frame has to be recent for that.
   */
  async follow(faces: readonly FaceState[], found: Found, image: Picture, at: number, busy: boolean, locate = true): Promise<void> {
    const before = faces.map(({ seen, detection }) => ({ seen, box: detection.box }));
    for (const face of faces) if ((found.get(face.number)?.score ?? 0) >= MIN_SCORE) face.confirmed = at;
    const unlocated = locate ? await this.#unlocated(faces, found, image, at, busy) : faces;
    for (const face of unlocated) await this.#detect(face, found.get(face.number), image, at);
    faces.forEach((face, index) => noteVelocity(face, before[index]!.box, face.seen - before[index]!.seen));
  }

  /** Bring the faces that the locator is sure of to where they are; returns those that the detector looks for. */
  async #unlocated(faces: readonly FaceState[], found: Found, image: Picture, at: number, busy: boolean): Promise<FaceState[]> {
    const unlocated: FaceState[] = [], looks = await this.#locate(faces, found, image, at);
    for (const [index, face] of faces.entries()) {
      const { detection, anchor } = looks[index]!;
      const target = found.get(face.number)?.box ?? expected(face, at);
      const sure = detection.score >= MIN_LOCATED && overlap(detection.box, target) >= MIN_OVERLAP;
      if (sure && isCheckDue(face, at, busy)) {
        await this.#check(face, detection, image, at);
        busy = true;
      }
      const age = at - face.confirmed;
      if (sure && age >= 0 && age < MAX_UNCONFIRMED_S) {
        const now = corrected(detection.box, face.offset);
        const box = face.anchor ? steadied(now, face.detection.box, at - face.seen) : now;
        Object.assign(face, { detection: { ...detection, box }, anchor, seen: at, thumbnail: null });
      } else {
        face.anchor = null;
        const pause = face.nextLook - at;
        if (found.has(face.number) || !(pause > 0 && pause <= RETRY_S)) unlocated.push(face);
      }
    }
    return unlocated;
  }

  /** Ask the detector for the face that the locator sees, and keep how its box differs. */
  async #check(face: FaceState, located: Detection, image: Picture, at: number): Promise<void> {
    const near = await this.near(image, located.box);
    if (!near) {
      face.nextCheck = at + CHECK_INTERVALS_S[0];
      return;
    }
    const weight = Math.max(MIN_WEIGHT, 1 / (face.checks + 1 + PRIOR_CHECKS)), now = offsetOf(near.box, located.box);
    face.offset = face.offset.map((value, index) => value + weight * (now[index]! - value)) as unknown as FaceState["offset"];
    face.nextCheck = at + CHECK_INTERVALS_S[Math.min(face.checks, CHECK_INTERVALS_S.length - 1)]!;
    face.checks += 1;
    face.confirmed = at;
  }

  /** What the locator sees of each face; one away from its region's middle is looked at again, in the middle. */
  async #locate(faces: readonly FaceState[], found: Found, image: Picture, at: number): Promise<Located[]> {
    if (!faces.length) return [];
    const anchors = faces.map((face) => (face.anchor === null ? found.get(face.number)?.box : undefined) ?? expected(face, at));
    const looks = (await this.locator.find(image, anchors)).map((detection, index): Located => ({ detection, anchor: anchors[index]! }));
    const again = looks.flatMap(({ detection, anchor }, index) => {
      const box = corrected(detection.box, faces[index]!.offset);
      return detection.score >= MIN_LOCATED && isOff(box, anchor) ? [{ index, box }] : [];
    });
    if (again.length) {
      const second = await this.locator.find(image, again.map(({ box }) => box));
      again.forEach(({ index, box }, each) => (looks[index] = { detection: second[each]!, anchor: box }));
    }
    return looks;
  }

  /** Bring one face to where the detector finds it, if it does; whole: what the search of the whole frame found. */
  async #detect(face: FaceState, whole: Detection | undefined, image: Picture, at: number): Promise<void> {
    if (!whole && isStill(face, image)) {
      face.seen = at;
      return;
    }
    const place = expected(face, at), target = whole ?? { ...face.detection, box: place };
    let near = await this.near(image, place);
    if (!near || overlap(near.box, target.box) < MIN_OVERLAP) near = whole ? await this.near(image, whole.box) : null;
    if (near) face.thumbnail = thumbnail(image, near.box);
    if (near || (whole && whole.score >= MIN_SCORE)) Object.assign(face, { detection: near ?? target, seen: at, confirmed: at });
    else face.nextLook = at + RETRY_S;
  }

  /** The face that the detector finds in the region around `box`. */
  async near(image: Picture, box: Box): Promise<Detection | null> {
    const [x, y, width, height] = box, half = (REGION * Math.max(width, height)) / 2;
    const left = Math.max(0, round(x + width / 2 - half)), top = Math.max(0, round(y + height / 2 - half));
    const region = part(image, left, top, round(x + width / 2 + half), round(y + height / 2 + half));
    if (!region || Math.min(region.width, region.height) < 8) return null;
    return nearest((await this.nearby.find(region)).map((each) => moved(each, left, top)), box);
  }
}

/** Whether the detector is to be asked now; in a busy frame only for a new face, and where that is late already. */
function isCheckDue({ nextCheck, checks }: FaceState, at: number, busy: boolean): boolean {
  const wait = nextCheck - at;
  if (wait > 0 && wait <= CHECK_INTERVALS_S.at(-1)!) return false;
  return !busy || !checks || !(wait > -CHECK_INTERVALS_S[0] && wait <= 0);
}

function isStill(face: FaceState, image: Picture): boolean {
  return face.thumbnail !== null && difference(face.thumbnail.data, thumbnail(image, face.detection.box).data) < STILL;
}

function nearest(detections: readonly Detection[], box: Box): Detection | null {
  let best: Detection | null = null, share = 0;
  for (const each of detections) {
    const common = overlap(each.box, box);
    if (common > share) [best, share] = [each, common];
  }
  return share >= MIN_OVERLAP ? best : null;
}
