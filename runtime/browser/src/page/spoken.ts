// What a screen reader says: changes alone, and not too often.
const PAUSE_MS = 2000;

export class Spoken {
  #said = "";
  #last = -Infinity;

  constructor(private readonly line: HTMLElement) {}

  /** The faces now; said when they are others than what was said last. */
  say(faces: readonly { track: number; label: string }[], now = performance.now()): void {
    const text = faces.length ? faces.map(({ track, label }) => `face ${track}: ${label}`).join(", ") : "no face in the picture";
    if (text === this.#said || now - this.#last < PAUSE_MS) return;
    this.#said = text;
    this.#last = now;
    this.line.textContent = text;
  }
}
