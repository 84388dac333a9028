// One face over time: averaged probabilities, and a label that changes when the evidence for it is enough:
// fer_runtime/faces/smoothing.py.
import { smoothing } from "./constants";

const { TIME_CONSTANT_S, MIN_EVIDENCE, P_UNCERTAIN, MIN_PROBABILITY, MAX_STEP_S } = smoothing;

/** Evidence is the logarithm of how much likelier another label is than the shown one, summed over time. */
export class Smoother {
  #average: number[] | null = null;
  #evidence: number[] = [];
  #shown = 0; // index of the label; beyond the last one: uncertain
  #at = 0;

  /** The probabilities at time `at`, seconds -> their average, and the index of the label; null: uncertain. */
  next(probabilities: ArrayLike<number>, at: number): { average: number[]; shown: number | null } {
    const given = Array.from(probabilities);
    const logs = [...given.map((p) => Math.log(Math.max(p, MIN_PROBABILITY))), Math.log(P_UNCERTAIN)];
    if (!this.#average) {
      this.#average = given;
      this.#evidence = logs.map(() => 0);
      this.#shown = likeliest(logs);
    } else {
      const seconds = Math.min(MAX_STEP_S, Math.max(0, at - this.#at));
      const share = 1 - Math.exp(-seconds / TIME_CONSTANT_S), shown = logs[this.#shown]!;
      this.#average = this.#average.map((mean, index) => mean + share * (given[index]! - mean));
      this.#evidence = this.#evidence.map((sum, index) => Math.max(0, sum + seconds * (logs[index]! - shown)));
      const best = likeliest(this.#evidence);
      if (this.#evidence[best]! >= MIN_EVIDENCE) {
        this.#evidence.fill(0);
        this.#shown = best;
      }
    }
    this.#at = at;
    return { average: this.#average, shown: this.#shown < given.length ? this.#shown : null };
  }
}

/** Index of the largest number, the first of equal ones. */
export function likeliest(numbers: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < numbers.length; index++) if (numbers[index]! > numbers[best]!) best = index;
  return best;
}
