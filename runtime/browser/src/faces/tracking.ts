// Faces over time: which face is which, from frame to frame: fer_runtime/faces/tracking.py.
import { grey, type Picture } from "../vision/picture";
import { resizeNearest } from "../vision/resize";
import { following, tracking } from "./constants";
import { Detector } from "./detection";
import { Follower, type Found } from "./following";
import type { Locator } from "./locating";
import { Search } from "./searching";
import { difference, overlap } from "./similarity";
import { Smoother } from "./smoothing";
import type { Box, Detection, FaceState } from "./types";

const { MAX_UNSEEN_S, MAX_FRAME_GAP_S, MIN_PAUSE_S, SAME, SCENE_CUT, SCENE_THUMBNAIL } = tracking;

/** Searches frames for new faces when that is due, and follows the known ones in every frame. */
export class Tracker {
  readonly #search: Search;
  readonly #follower: Follower;
  #faces: FaceState[] = [];
  #count = 0; // of faces so far
  #last = 0; // time of the last frame
  #scene: Picture | null = null;

  constructor(private readonly whole: Detector, nearby: Detector, locator: Locator) {
    this.#search = new Search(whole);
    this.#follower = new Follower(nearby, locator);
  }

  /** The faces of this frame, and those seen shortly before; one without a time (a picture) stands alone. */
  async track(image: Picture, at: number | null): Promise<FaceState[]> {
    if (at === null) return (this.#faces = await this.#alone(image));
    this.#faces = this.#faces.filter((face) => this.#isKnown(face, at));
    if (this.#isCut(image)) {
      this.#faces = [];
      this.#search.hasten(at);
    }
    await this.#bringUpToDate(image, at);
    this.#last = at;
    return [...this.#faces];
  }

  async #alone(image: Picture): Promise<FaceState[]> {
    const faces: FaceState[] = [];
    for (const each of await this.whole.find(image)) faces.push(this.#new((await this.#follower.near(image, each.box)) ?? each, 0));
    return faces;
  }

  async #bringUpToDate(image: Picture, at: number): Promise<void> {
    let found: Found = new Map();
    const many = this.#faces.length > this.#follower.most;
    if (many) this.#search.hasten(at);
    if (this.#search.isDue(at)) found = this.#joined(await this.#search.find(image, at, this.#faces.map((face) => face.detection.box)), at);
    if (many) {
      for (const face of this.#faces) {
        const detection = found.get(face.number);
        if (detection) Object.assign(face, { detection, seen: at });
      }
    } else if (this.#faces.length) {
      await this.#follower.follow(this.#faces, found, image, at);
      this.#faces = distinct(this.#faces);
      const lost = this.#faces.some(({ seen }) => this.#last <= seen && seen < at); // just now
      if (lost) this.#search.hasten(at, MIN_PAUSE_S);
    }
  }

  /** Whether a face is still expected: it was in the last frame, or missing for a short time only. */
  #isKnown(face: FaceState, at: number): boolean {
    const age = at - face.seen;
    return age >= 0 && age <= (face.seen === this.#last ? MAX_FRAME_GAP_S : MAX_UNSEEN_S);
  }

  #new(detection: Detection, at: number): FaceState {
    return {
      number: ++this.#count, detection, seen: at, velocity: [0, 0], confirmed: 0, checks: 0, nextCheck: 0, offset: [0, 0, 0, 0],
      anchor: null, thumbnail: null, smoother: new Smoother(), crop: null, probabilities: null, classified: 0,
    };
  }

  /** Whether this is another scene than the last frame's; it only matters while faces are followed. */
  #isCut(image: Picture): boolean {
    if (!this.#faces.length) {
      this.#scene = null;
      return false;
    }
    const before = this.#scene;
    this.#scene = grey(resizeNearest(image, ...SCENE_THUMBNAIL));
    return before !== null && difference(before.data, this.#scene.data) > SCENE_CUT;
  }

  /** What a search found of each face, by its number; faces that are not known yet are added. */
  #joined(detections: readonly Detection[], at: number): Found {
    const joined = join(this.#faces.map((face) => face.detection.box), detections.map(({ box }) => box));
    const found = new Map(Array.from(joined, ([i, j]) => [this.#faces[i]!.number, detections[j]!]));
    const taken = new Set(joined.values());
    for (const [j, detection] of detections.entries()) {
      if (taken.has(j)) continue;
      const face = this.#new(detection, at);
      this.#faces.push(face);
      found.set(face.number, detection);
    }
    return found;
  }
}

/** Which of the found boxes each known one is, by their indices; the pairs that overlap most first. */
function join(known: readonly Box[], found: readonly Box[]): Map<number, number> {
  const pairs = known.flatMap((a, i) => found.map((b, j) => ({ share: overlap(a, b), i, j })));
  pairs.sort((a, b) => b.share - a.share || b.i - a.i || b.j - a.j);
  const joined = new Map<number, number>(), taken = new Set<number>();
  for (const { share, i, j } of pairs) {
    if (share < following.MIN_OVERLAP || joined.has(i) || taken.has(j)) continue;
    joined.set(i, j);
    taken.add(j);
  }
  return joined;
}

/** The faces without those that have come to lie on an older one. */
function distinct(faces: readonly FaceState[]): FaceState[] {
  const kept: FaceState[] = [];
  for (const face of faces) if (kept.every((other) => overlap(face.detection.box, other.detection.box) < SAME)) kept.push(face);
  return kept;
}
