// The panel "About this device and this model": figures, to read and to copy as JSON.
import { at, make } from "../../../fer_runtime/outputs/web/faces.js";
import { hasSimd } from "../model/simd";
import type { Facts } from "../worker/engine";
import type { Remote } from "../worker/rpc";
import { conditions, timed } from "./measure";
import { quantiles, type Statistics } from "./statistics";

const WARMUP = 50, RUNS = 500, SECONDS = 3; // of a measurement
const EVERY_MS = 1000;
const SCHEMA = 1; // of what is copied: fer_benchmarks.report.device_panel reads it, docs/reference/json.md lists it

/** Figures that the page takes itself. */
export interface PageFigures { first_answer_ms: number | null; transferred_bytes: number }

export class About {
  #times: number[] = [];

  constructor(private readonly engine: Remote, private readonly facts: Facts, private readonly statistics: Statistics, private readonly figures: PageFigures) {
    const panel = at("about") as HTMLDetailsElement, button = at("measure") as HTMLButtonElement, copy = at("copy") as HTMLButtonElement;
    button.disabled = copy.disabled = false;
    button.addEventListener("click", () => void this.#measure(button));
    copy.addEventListener("click", () => void this.#copy());
    panel.addEventListener("toggle", () => this.#show());
    setInterval(() => panel.open && this.#show(), EVERY_MS);
  }

  /** All figures, with the names and units of fer-bench. */
  plain() {
    return {
      tool: "fer-edge page",
      schema: SCHEMA,
      date: new Date().toISOString(),
      ...conditions(this.facts),
      times_ms: this.#times,
      ...this.figures,
      loop: this.statistics.summary(),
    };
  }

  async #measure(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    button.textContent = "Measuring";
    this.#times = await timed(this.engine, WARMUP, RUNS, SECONDS);
    button.disabled = false;
    button.textContent = "Measure the classifier";
    this.#show();
  }

  async #copy(): Promise<void> {
    if (!this.#times.length) this.#times = await timed(this.engine, WARMUP, RUNS, SECONDS);
    this.#show();
    try {
      await navigator.clipboard.writeText(JSON.stringify(this.plain()));
      at("copied").textContent = "Copied.";
    } catch {
      at("copied").textContent = "This browser lets the page copy nothing: open it through https or at http://localhost.";
    }
  }

  #show(): void {
    const { manifest, site, threads, load_ms } = this.facts, { first_answer_ms, transferred_bytes } = this.figures;
    const loop = this.statistics.summary(), classifier = quantiles(this.#times);
    const rows: [string, string][] = [
      ["Model", `${manifest.labels.length} labels, ${manifest.precision}, ${(manifest.parameters / 1e3).toFixed(0)} k parameters, ${(manifest.macs / 1e6).toFixed(1)} MMAC`],
      ["File", `SHA-256 ${site.classifier.sha256}`],
      ["fer-edge", site.version],
      ["WebAssembly", `${hasSimd() ? "SIMD" : "no SIMD"}, ${threads} thread${threads > 1 ? "s" : ""} of ${navigator.hardwareConcurrency}${crossOriginIsolated ? "" : " (the page is not cross-origin isolated)"}`],
      ["Transferred", `${(transferred_bytes / 1e6).toFixed(1)} MB`],
      ["Networks opened in", `${load_ms.toFixed(0)} ms`],
      ["First result after", first_answer_ms === null ? "–" : `${first_answer_ms.toFixed(0)} ms`],
      ["Rate", `${loop.fps.toFixed(1)} fps`],
      ["Work per frame", loop.work_ms ? `p50 ${loop.work_ms.p50.toFixed(1)} ms, p95 ${loop.work_ms.p95.toFixed(1)} ms, n = ${loop.frames}` : "–"],
      ["Classifier, one face", classifier ? `p50 ${classifier.p50.toFixed(2)} ms, p95 ${classifier.p95.toFixed(2)} ms, n = ${this.#times.length}` : "not measured yet"],
      ["Browser", navigator.userAgent],
    ];
    at("facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  }
}
