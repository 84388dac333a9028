// Searches for new faces: when a frame is searched, and how much of it: fer_runtime/faces/searching.py.
import { grey, part, round, type Picture } from "../vision/picture";
import { resizeArea, resizeNearest } from "../vision/resize";
import { searching } from "./constants";
import { moved, shrunkSide, type Detector } from "./detection";
import type { Box, Detection } from "./types";

const { DEFAULT_INTERVAL_S, MAX_QUIET_S, FINE_INTERVAL_S, MIN_COLOUR, MAP, SAMPLES, MIN_CHANGE, MARGIN, HEAD } = searching;
const [COLUMNS, ROWS] = MAP;
type Area = [left: number, top: number, right: number, bottom: number];

/** Looks for faces at intervals where something changed since the last time, and now and then everywhere. */
export class Search {
  #next = -Infinity; // when one is due
  #last = -Infinity; // when the last was
  #whole = -Infinity; // and that of a whole frame
  #refined = -Infinity; // when the last fine search was
  #map: Picture | null = null; // of the frame that was searched last

  /**
   * fine: sees what the detector misses; it searches the first frame, a new scene and one every FINE_INTERVAL_S, and in
   * place of the detector what has no colour, where that misses more.
   */
  constructor(private readonly detector: Detector, private readonly fine: Detector) {}

  /** Search a whole frame from this time on, as in another scene. pause: least seconds since the last search. */
  hasten(at: number, pause = 0): void {
    this.#next = Math.min(this.#next, Math.max(at, this.#last + pause));
    this.#map = null;
    if (!pause) this.#refined = -Infinity;
  }

  /** Whether the frame of this time, seconds, is looked at; where the clock jumped it is. */
  isDue(at: number): boolean {
    const wait = this.#next - at;
    return !(wait > 0 && wait <= DEFAULT_INTERVAL_S);
  }

  /**
   * The faces in what is searched of this frame; null where nothing is. known: boxes of the faces that are followed.
   * whole: search all of it, finely.
   */
  async find(image: Picture, at: number, known: readonly Box[], whole: boolean): Promise<Detection[] | null> {
    this.#next = at + DEFAULT_INTERVAL_S;
    this.#last = at;
    const cells = cellsOf(image), before = this.#map, now = grey(cells), age = at - this.#whole;
    if (whole) this.#refined = -Infinity;
    const everywhere = whole || before === null || !(age >= 0 && age < MAX_QUIET_S);
    const area = everywhere ? ([0, 0, image.width, image.height] satisfies Area) : changed(before, now, image, known);
    if (!area) return null;
    this.#map = now;
    return this.#detect(image, area, at, isGrey(cells) ? this.fine : this.detector);
  }

  /** Search this part, or the whole frame where that costs no more. */
  async #detect(image: Picture, [left, top, right, bottom]: Area, at: number, detector: Detector): Promise<Detection[]> {
    if (pixels(right - left, bottom - top) < pixels(image.width, image.height)) {
      const found = await detector.find(part(image, left, top, right, bottom)!);
      return found.map((each) => moved(each, left, top));
    }
    this.#whole = at;
    const age = at - this.#refined;
    if (age >= 0 && age < FINE_INTERVAL_S) return detector.find(image);
    this.#refined = at;
    return this.fine.find(image);
  }
}

/** That a detector looks at in a frame of this size, or a number in proportion to it. */
function pixels(width: number, height: number): number {
  return (shrunkSide(width, height) / Math.max(width, height)) ** 2 * width * height;
}

/** Mean colour of each cell. */
function cellsOf(image: Picture): Picture {
  return resizeArea(resizeNearest(image, COLUMNS * SAMPLES, ROWS * SAMPLES), COLUMNS, ROWS);
}

function isGrey({ data }: Picture): boolean {
  let spread = 0;
  for (let i = 0; i < data.length; i += 4) spread += Math.max(data[i]!, data[i + 1]!, data[i + 2]!) - Math.min(data[i]!, data[i + 1]!, data[i + 2]!);
  return spread / (COLUMNS * ROWS) < MIN_COLOUR;
}

/** The part of the frame in which cells changed beside known faces, with a margin. */
function changed(before: Picture, now: Picture, { width, height }: Picture, known: readonly Box[]): Area | null {
  const cells = now.data.map((value, index) => (Math.abs(value - before.data[index]!) > MIN_CHANGE ? 1 : 0));
  const across = COLUMNS / width, down = ROWS / height;
  for (const [x, y, w, h] of known) {
    const first = Math.max(0, Math.trunc((x - HEAD * w) * across)), end = Math.max(0, Math.trunc((x + (1 + HEAD) * w) * across) + 1);
    const bottom = Math.max(0, Math.trunc((y + (1 + HEAD) * h) * down) + 1);
    for (let row = Math.max(0, Math.trunc((y - HEAD * h) * down)); row < Math.min(ROWS, bottom); row++) {
      cells.fill(0, row * COLUMNS + Math.min(first, COLUMNS), row * COLUMNS + Math.min(end, COLUMNS));
    }
  }
  const rows: number[] = [], columns: number[] = [];
  cells.forEach((cell, index) => {
    if (!cell) return;
    rows.push(Math.floor(index / COLUMNS));
    columns.push(index % COLUMNS);
  });
  if (!rows.length) return null;
  const left = Math.min(...columns) / COLUMNS - MARGIN, right = (Math.max(...columns) + 1) / COLUMNS + MARGIN;
  const top = rows[0]! / ROWS - MARGIN, bottom = (rows.at(-1)! + 1) / ROWS + MARGIN;
  return [
    round(Math.max(0, left) * width), round(Math.max(0, top) * height),
    round(Math.min(1, right) * width), round(Math.min(1, bottom) * height),
  ];
}
