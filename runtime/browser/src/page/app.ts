// The page: its buttons, one source at a time, and the worker behind them.
import { at } from "../../../fer_runtime/outputs/web/faces.js";
import { sentence } from "../errors";
import type { Answer, Facts } from "../worker/engine";
import { newEngine, openEngine } from "../worker/start";
import { About, type PageFigures } from "./about";
import { Pump, type Shown } from "./pump";
import { Source, type Begun } from "./source";
import { accuracy, showProblem, showState, View } from "./view";

const THREADS = 1; // of WebAssembly: one keeps up with a camera, and a second doubles the work, waiting in a loop
const LOADING = "loading the networks", BROKEN = "cannot start";
const camera = at("camera") as HTMLButtonElement, stop = at("stop") as HTMLButtonElement, file = at("file") as HTMLInputElement;

/** The page. The camera can be asked for while the networks load; its first frame waits for them. */
export class App {
  readonly engine = newEngine();
  readonly opened: Promise<Facts>;
  readonly pump: Pump;
  about!: About; // once the networks are open
  onAnswer: (answer: Shown) => void = () => {};
  readonly #view = new View();
  readonly #source: Source;
  readonly #figures: PageFigures = { first_answer_ms: null, transferred_bytes: 0 };
  #idle = LOADING; // what the page does without a source
  #muted: string | null = null; // why the camera, which is on, gives no picture

  constructor() {
    this.#source = new Source({
      ended: (text, problem) => this.#end(text, problem),
      paused: (text) => this.#pause(text),
    });
    this.pump = new Pump(this.#source.video, this.engine, (answer) => this.#show(answer, true), (error) => this.#fail(error));
    camera.addEventListener("click", () => void this.#begin(() => this.#source.camera(this.opened), "waiting for the camera"));
    stop.addEventListener("click", () => this.#end("ready", false));
    file.addEventListener("change", () => void this.#choose());
    document.addEventListener("visibilitychange", () => this.#visible());
    camera.disabled = false;
    this.opened = this.#open();
  }

  /** Open the networks; what is in their way is shown. */
  async #open(): Promise<Facts> {
    try {
      const facts = await openEngine(this.engine, THREADS, true), { manifest } = facts;
      this.#figures.transferred_bytes = facts.transferred_bytes + transferred();
      this.#view.open(manifest.labels);
      this.about = new About(this.engine, facts, this.#view.statistics, this.#figures);
      at("use").textContent = [manifest.intended_use, accuracy(manifest.measured)].filter(Boolean).join(" ");
      file.disabled = false;
      this.#idle = "ready";
      if (at("state").textContent === LOADING) showState(this.#idle);
      return facts;
    } catch (error) {
      this.#idle = BROKEN;
      camera.disabled = true;
      this.#fail(error);
      throw error;
    }
  }

  /** Show a source; what it throws is shown. */
  async #begin(open: () => Promise<Begun>, waiting: string): Promise<void> {
    this.pump.stop();
    this.#muted = null; // of the source before
    this.#view.clear();
    showProblem(null);
    showState(this.#idle === LOADING ? `${waiting} and the networks` : waiting);
    try {
      const begun = await open();
      if (!begun) return;
      stop.hidden = false;
      void this.engine.call("reset"); // before the first frame: the worker answers in turn
      if (begun === "video") this.pump.start();
      else await this.#picture(begun);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #choose(): Promise<void> {
    const [chosen] = file.files ?? [];
    if (chosen) await this.#begin(() => this.#source.file(chosen), "opening the file");
    file.value = ""; // so that the same one can be chosen again
  }

  async #picture(picture: ImageBitmap): Promise<void> {
    const began = performance.now();
    const answer = await this.engine.call<Answer>("frame", [picture, null], [picture]);
    this.#show({ ...answer, at: 0, age_ms: performance.now() - began }, false);
    showState("a picture");
  }

  #show(answer: Shown, moving: boolean): void {
    if (moving) this.#showMoving();
    this.#figures.first_answer_ms ??= performance.mark("first answer").startTime;
    this.#view.show(answer, moving);
    this.onAnswer(answer);
  }

  /** Let go of the source: its fault, or that of the networks. */
  #fail(error: unknown): void {
    this.#end(sentence(error), true);
  }

  /** Let go of the source. text: why; problem: whether something is to be done about it. */
  #end(text: string, problem: boolean): void {
    this.#muted = null;
    this.pump.stop();
    if (problem || text === "ready") this.#source.close();
    if (problem || text === "ready") this.#view.clear();
    stop.hidden = true;
    showProblem(problem ? text : null);
    if (problem) showState(this.#idle === BROKEN ? BROKEN : "stopped", "lost");
    else showState(text);
  }

  #pause(text: string | null): void {
    this.#muted = text;
    this.#showMoving();
  }

  #visible(): void {
    if (!stop.hidden && !at("video").hidden) this.#showMoving();
  }

  #showMoving(): void {
    if (document.hidden) showState("paused while the page is hidden");
    else if (this.#muted) showState(this.#muted);
    else showState("live", "live");
  }
}

/** Bytes that the page's own files took, compressed as they came; the worker counts its own. */
function transferred(): number {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")] as PerformanceResourceTiming[];
  return entries.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
}
