// Faces over time: which face is which, from frame to frame: fer_runtime/faces/tracking.py.
import { grey, type Picture } from "../vision/picture";
import { resizeNearest } from "../vision/resize";
import { detection as detecting, following, tracking } from "./constants";
import { Detector } from "./detection";
import { Follower, type Found } from "./following";
import type { Locator } from "./locating";
import { Search } from "./searching";
import { difference, overlap } from "./similarity";
import { Smoother } from "./smoothing";
import type { Box, Detection, FaceState } from "./types";

const { MAX_UNSEEN_S, MAX_FRAME_GAP_S, RARE_S, SPARSE_S, MIN_PAUSE_S, MAX_PROPOSALS, LOOKS, SAME, SCENE_CUT, SCENE_THUMBNAIL } = tracking;
const { MIN_SCORE } = detecting;

/** Searches frames for new faces when that is due, and follows the known ones in every frame. */
export class Tracker {
  readonly #search: Search;
  readonly #follower: Follower;
  #faces: FaceState[] = [];
  #count = 0; // of faces so far
  #last = -Infinity; // time of the last frame
  #scene: Picture | null = null;
  #proposals: Detection[] = []; // of the last search, not looked at yet

  /** whole: for frames; nearby: for a region about twice a face's size; proposer: for most searches, not sure of all that it finds. */
  constructor(private readonly whole: Detector, nearby: Detector, locator: Locator, proposer: Detector) {
    this.#search = new Search(proposer, whole);
    this.#follower = new Follower(nearby, locator);
  }

  /** The faces of this frame, and those seen shortly before; one without a time (a picture) stands alone. */
  async track(image: Picture, at: number | null): Promise<FaceState[]> {
    if (at === null) return (this.#faces = await this.#alone(image));
    this.#faces = this.#faces.filter((face) => this.#isKnown(face, at));
    if (this.#isCut(image)) {
      this.#faces = [];
      this.#proposals = [];
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
    if (this.#faces.length > this.#follower.most) {
      const found = this.#joined(await this.whole.find(image), at);
      for (const face of this.#faces) {
        const detection = found.get(face.number);
        if (detection) Object.assign(face, { detection, seen: at });
      }
      return;
    }
    const gap = at - this.#last, rare = Number.isFinite(gap) && !(gap > 0 && gap < RARE_S), sparse = gap >= SPARSE_S;
    let searched = rare || this.#search.isDue(at);
    await this.#follow(this.#faces, searched ? await this.#searched(image, at, rare) : new Map(), image, at, searched, !rare);
    if (this.#faces.some(({ seen }) => this.#last <= seen && seen < at)) { // one was lost just now
      if (sparse && !searched) {
        searched = true;
        await this.#findLost(image, at);
      }
      this.#search.hasten(at, MIN_PAUSE_S);
    }
    if (sparse || !searched) await this.#lookAtProposals(image, sparse ? MAX_PROPOSALS : LOOKS, at);
  }

  async #follow(faces: readonly FaceState[], found: Found, image: Picture, at: number, busy: boolean, locate = true): Promise<void> {
    if (!faces.length) return;
    await this.#follower.follow(faces, found, image, at, busy, locate);
    this.#faces = distinct(this.#faces);
  }

  /** Search the frame in which a face was not found where it was expected. */
  async #findLost(image: Picture, at: number): Promise<void> {
    const known = this.#count, found = await this.#searched(image, at, true);
    const faces = this.#faces.filter(({ number, seen }) => found.has(number) && (seen < at || number > known));
    await this.#follow(faces, found, image, at, true);
  }

  /** Search the frame: what was found of each face, new ones too, by its number. */
  async #searched(image: Picture, at: number, whole: boolean): Promise<Found> {
    const detections = await this.#search.find(image, at, this.#faces.map((face) => face.detection.box), whole);
    return detections ? this.#joined(detections, at) : new Map();
  }

  /** Add those of the next proposals that are faces, after so many looks at most. */
  async #lookAtProposals(image: Picture, looks: number, at: number): Promise<void> {
    const isKnown = (box: Box): boolean => this.#faces.some((face) => overlap(face.detection.box, box) >= following.MIN_OVERLAP);
    while (looks) {
      const proposal = this.#proposals.shift();
      if (!proposal) return;
      if (isKnown(proposal.box)) continue;
      looks -= 1;
      const near = await this.#follower.near(image, proposal.box);
      if (near && near.score >= MIN_SCORE && !isKnown(near.box)) this.#faces.push(this.#new(near, at));
    }
  }

  /** Whether a face is still expected: it was in the last frame, or missing for a short time only. */
  #isKnown(face: FaceState, at: number): boolean {
    const age = at - face.seen;
    return age >= 0 && age <= (face.seen === this.#last ? MAX_FRAME_GAP_S : MAX_UNSEEN_S);
  }

  #new(detection: Detection, at: number): FaceState {
    return {
      number: ++this.#count, detection, seen: at, velocity: [0, 0], confirmed: 0, checks: 0, nextCheck: 0, nextLook: 0, offset: [0, 0, 0, 0],
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

  /** What a search found of each face, by its number; faces that are not known yet are added, or proposed. */
  #joined(detections: readonly Detection[], at: number): Found {
    const joined = join(this.#faces.map((face) => face.detection.box), detections.map(({ box }) => box));
    const found = new Map(Array.from(joined, ([i, j]) => [this.#faces[i]!.number, detections[j]!]));
    const taken = new Set(joined.values()), rest = detections.filter((_, j) => !taken.has(j));
    this.#proposals = rest.filter(({ score }) => score < MIN_SCORE).slice(0, MAX_PROPOSALS);
    for (const detection of rest.filter(({ score }) => score >= MIN_SCORE)) {
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
