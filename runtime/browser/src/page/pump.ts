// Frames of a video element to the worker: the newest only, one at a time, and none while the page is hidden.
import type { Point } from "../faces/types";
import type { Answer } from "../worker/engine";
import type { Remote } from "../worker/rpc";

/** An answer, and of its frame: seconds on the video's own clock, and milliseconds from its capture to the answer. */
export interface Shown extends Answer { at: number; age_ms: number }

export class Pump {
  points: Point[] = []; // places of which each answer has the brightness
  #running = false;
  #asked = 0; // for the next frame
  #busy = false;
  #waiting: { at: number; captured: number } | null = null; // a frame came while the worker was busy

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly engine: Remote,
    private readonly onAnswer: (answer: Shown) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    this.#running = true;
    this.#next();
  }

  stop(): void {
    this.#running = false;
    this.#waiting = null;
    this.video.cancelVideoFrameCallback?.(this.#asked); // another source's first frame would answer it
  }

  #next(): void {
    if (!this.#running) return;
    if ("requestVideoFrameCallback" in this.video) {
      this.#asked = this.video.requestVideoFrameCallback((now, { mediaTime, captureTime }) => this.#came(mediaTime, captureTime ?? now));
    } else {
      requestAnimationFrame((now) => this.#came(this.video.currentTime, now));
    }
  }

  #came(at: number, captured: number): void {
    this.#next();
    if (!this.#running || document.hidden) return;
    this.#waiting = { at, captured };
    if (!this.#busy) void this.#send();
  }

  async #send(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#waiting && this.#running) {
        const { at, captured } = this.#waiting;
        this.#waiting = null;
        const frame = typeof VideoFrame === "function" ? new VideoFrame(this.video) : await createImageBitmap(this.video);
        const answer = await this.engine.call<Answer>("frame", [frame, at, this.points], [frame]);
        if (this.#running) this.onAnswer({ ...answer, at, age_ms: performance.now() - captured });
      }
    } catch (error) {
      if (this.#running) this.onError(error);
    } finally {
      this.#busy = false;
    }
  }
}
