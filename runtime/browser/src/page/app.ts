// The page: its buttons, one source at a time, and the worker behind them.
import { at } from "../../../fer_runtime/outputs/web/faces.js";
import { sentence } from "../errors";
import type { Answer, Facts } from "../worker/engine";
import type { Remote } from "../worker/rpc";
import { startEngine } from "../worker/start";
import { About, type PageFigures } from "./about";
import { Pump, type Shown } from "./pump";
import { Source } from "./source";
import { accuracy, showProblem, showState, View } from "./view";

const THREADS = 1; // of WebAssembly: a second one gains a third at best, and waits in a loop, which a busy machine pays for
const camera = at("camera") as HTMLButtonElement, stop = at("stop") as HTMLButtonElement, file = at("file") as HTMLInputElement;

/** The page once its networks are open. */
export class App {
  readonly pump: Pump;
  readonly about: About;
  onAnswer: (answer: Shown) => void = () => {};
  readonly #view: View;
  readonly #source: Source;
  readonly #figures: PageFigures = { first_answer_ms: null, transferred_bytes: 0 };

  constructor(readonly engine: Remote, readonly facts: Facts) {
    this.#figures.transferred_bytes = facts.transferred_bytes + transferred();
    this.#view = new View(facts.manifest.labels);
    this.#source = new Source({
      ended: (text, problem) => this.#end(text, problem),
      paused: (text) => (text ? showState(text) : showState("live", "live")),
    });
    this.pump = new Pump(this.#source.video, engine, (answer) => this.#show(answer, true), (error) => this.#end(sentence(error), true));
    this.about = new About(engine, facts, this.#view.statistics, this.#figures);
    at("use").textContent = [facts.manifest.intended_use, accuracy(facts.manifest.measured)].filter(Boolean).join(" ");
    camera.addEventListener("click", () => void this.#begin(() => this.#source.camera(), "waiting for the camera"));
    stop.addEventListener("click", () => this.#end("ready", false));
    file.addEventListener("change", () => void this.#open());
    document.addEventListener("visibilitychange", () => this.#visible());
    camera.disabled = file.disabled = false;
    showState("ready");
  }

  /** Start a source that moves; what it throws is shown. */
  async #begin(open: () => Promise<ImageBitmap | null | void>, waiting: string): Promise<void> {
    this.pump.stop();
    showProblem(null);
    showState(waiting);
    try {
      await this.engine.call("reset");
      this.#view.clear();
      const picture = await open();
      stop.hidden = false;
      if (picture) await this.#picture(picture);
      else this.pump.start();
    } catch (error) {
      this.#end(sentence(error), true);
    }
  }

  async #open(): Promise<void> {
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
    if (moving) showState("live", "live");
    this.#figures.first_answer_ms ??= performance.now();
    this.#view.show(answer, moving);
    this.onAnswer(answer);
  }

  /** Let go of the source. text: why; problem: whether something is to be done about it. */
  #end(text: string, problem: boolean): void {
    this.pump.stop();
    if (problem || text === "ready") this.#source.close();
    if (problem || text === "ready") this.#view.clear();
    stop.hidden = true;
    showProblem(problem ? text : null);
    showState(problem ? "stopped" : text, problem ? "lost" : "");
  }

  #visible(): void {
    if (stop.hidden || at("video").hidden) return;
    if (document.hidden) showState("paused while the page is hidden");
  }
}

/** Open the networks; what is in their way is shown. */
export async function startApp(): Promise<App> {
  try {
    const { engine, facts } = await startEngine(THREADS, true);
    return new App(engine, facts);
  } catch (error) {
    showProblem(sentence(error));
    showState("cannot start", "lost");
    throw error;
  }
}

/** Bytes that the page's own files took, compressed as they came; the worker counts its own. */
function transferred(): number {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")] as PerformanceResourceTiming[];
  return entries.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
}
