// Figures of the last frames: rate, age, work.
const SPAN_MS = 2000; // over which the shown figures are taken
const KEPT = 3000; // frames for the quantiles: 100 seconds at 30 per second

export class Statistics {
  #times: number[] = [];
  readonly #work: number[] = [];
  readonly #age: number[] = [];

  add(now: number, work_ms: number, age_ms: number): void {
    this.#times.push(now);
    while (this.#times[0]! < now - SPAN_MS) this.#times.shift();
    for (const [list, value] of [[this.#work, work_ms], [this.#age, age_ms]] as const) {
      list.push(value);
      if (list.length > KEPT) list.shift();
    }
  }

  clear(): void {
    this.#times = [];
    this.#work.length = this.#age.length = 0;
  }

  /** Frames per second in the last two seconds, and quantiles of up to 3,000 frames, milliseconds. */
  summary() {
    const span = this.#times.length > 1 ? this.#times.at(-1)! - this.#times[0]! : 0;
    return {
      fps: span ? ((this.#times.length - 1) * 1e3) / span : 0,
      frames: this.#work.length,
      work_ms: quantiles(this.#work),
      age_ms: quantiles(this.#age),
    };
  }
}

export function quantiles(values: readonly number[]): { p50: number; p95: number } | null {
  if (!values.length) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const quantile = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { p50: quantile(0.5), p95: quantile(0.95) };
}
