// What the page shows of an answer: boxes, faces, time line, figures.
import { at, begin, drawLine, percent, remember, showFaces } from "../../../fer_runtime/outputs/web/faces.js";
import type { Face } from "../pipeline/loop";
import { drawBoxes } from "./boxes";
import type { Shown } from "./pump";
import { Spoken } from "./spoken";
import { Statistics } from "./statistics";

const FIGURES_MS = 500; // between two updates of the figures in the header

export class View {
  readonly statistics = new Statistics();
  readonly #spoken = new Spoken(at("spoken"));
  readonly #boxes = at("boxes") as HTMLCanvasElement;
  #last: Shown | null = null;
  #figures = 0; // when they were updated last

  #labels: string[] = [];

  constructor() {
    addEventListener("resize", () => {
      drawLine();
      if (this.#last) drawBoxes(this.#boxes, this.#last);
    });
  }

  /** labels: in the model's order. */
  open(labels: string[]): void {
    this.#labels = labels;
    this.clear();
  }

  /** Forget the source before. */
  clear(): void {
    this.#last = null;
    this.statistics.clear();
    begin(this.#labels);
    showFaces({ time: new Date().toISOString(), faces: [] });
    drawBoxes(this.#boxes, { width: 1, height: 1, faces: [] });
    for (const id of ["rate", "age", "work"]) at(id).textContent = "–";
  }

  /** moving: whether it is one of many frames, not a picture. */
  show(answer: Shown, moving: boolean): void {
    this.#last = answer;
    const result = { time: new Date().toISOString(), faces: answer.faces.map((face) => this.#named(face)) };
    drawBoxes(this.#boxes, answer);
    showFaces(result);
    this.#spoken.say(answer.faces);
    if (!moving) return;
    remember(result);
    this.statistics.add(performance.now(), answer.read_ms + answer.work_ms, answer.age_ms);
    this.#showFigures();
  }

  #named({ track, label, probabilities }: Face) {
    return { track, label, probabilities: Object.fromEntries(this.#labels.map((name, index) => [name, probabilities[index]!])) };
  }

  #showFigures(): void {
    const now = performance.now();
    if (now - this.#figures < FIGURES_MS) return;
    this.#figures = now;
    const { fps, age_ms, work_ms } = this.statistics.summary();
    at("rate").textContent = fps.toFixed(1);
    at("age").textContent = `${age_ms!.p50.toFixed(0)} ms`;
    at("work").textContent = `${work_ms!.p50.toFixed(1)} ms`;
  }
}

/** The line beside the page's name. kind: "live", "lost" or "" (waiting). */
export function showState(text: string, kind = ""): void {
  if (at("state").textContent !== text) at("state").textContent = text;
  at("state").className = `state ${kind}`;
}

export function showProblem(text: string | null): void {
  at("problem").hidden = text === null;
  at("problem").textContent = text ?? "";
}

/** Of the manifest's accuracies the first, in words; empty without one. (Intl would hold the page up for 30 ms.) */
export function accuracy(measured: unknown): string {
  const first = Array.isArray(measured) ? (measured[0] as Record<string, unknown> | undefined) : undefined;
  if (typeof first?.accuracy !== "number" || typeof first.n !== "number") return "";
  return `This model names ${percent(first.accuracy)} of ${String(first.n).replace(/\B(?=(\d{3})+$)/g, ",")} test faces as their label has it.`;
}
