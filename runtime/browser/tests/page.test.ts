import { expect, test } from "vitest";
import { Smoother } from "../src/faces/smoothing";
import { Spoken } from "../src/page/spoken";
import { quantiles, Statistics } from "../src/page/statistics";
import { round } from "../src/vision/picture";

test("halves are rounded to the even number, as in Python", () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 1.4999, -2.6].map(round)).toEqual([0, 2, 2, 0, -2, 1, -3]);
});

test("a label changes when the evidence suffices, and a single frame never decides", () => {
  const smoother = new Smoother(), shown = (first: number, at: number) => smoother.next([first, 1 - first], at).shown;
  expect(shown(0.95, 0)).toBe(0);
  expect(shown(0.001, 0.04)).toBe(0);
  expect([0.08, 0.12, 0.16, 0.2].map((at) => shown(0.05, at))).toContain(1);
});

test("a doubtful face is uncertain", () => {
  expect(new Smoother().next([0.25, 0.25, 0.25, 0.25], 0).shown).toBeNull();
});

test("a screen reader hears changes alone, and not more than one in two seconds", () => {
  const line = { textContent: "" }, spoken = new Spoken(line as HTMLElement);
  spoken.say([{ track: 1, label: "happy" }], 0);
  expect(line.textContent).toBe("face 1: happy");
  spoken.say([{ track: 1, label: "sad" }], 1000);
  expect(line.textContent).toBe("face 1: happy");
  spoken.say([], 2500);
  expect(line.textContent).toBe("no face in the picture");
});

test("rate and quantiles", () => {
  const statistics = new Statistics();
  for (let frame = 0; frame <= 60; frame++) statistics.add((frame * 1000) / 30, frame, 2 * frame);
  expect(statistics.summary().fps).toBeCloseTo(30);
  for (let frame = 0; frame <= 5000; frame++) statistics.add(3000 + frame, 1, 1);
  expect(statistics.summary().frames).toBe(3000); // memory does not grow
  expect(quantiles([4, 1, 3, 2])).toEqual({ p50: 3, p95: 4 });
  expect(quantiles([])).toBeNull();
});
