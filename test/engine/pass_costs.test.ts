import { PassCosts } from "../../lib/engine/pass_costs";

function measured(times: Record<number, readonly number[]>): PassCosts {
  const costs = new PassCosts(16);
  for (const [tokens, list] of Object.entries(times)) for (const time of list) costs.note(Number(tokens), time);
  return costs;
}

test("before anything was measured, a further token costs a part of the first", () => {
  const costs = new PassCosts(16);
  expect(costs.ratio(1, 1)).toBe(1);
  expect(costs.ratio(1, 9)).toBeGreaterThan(2);
  expect(costs.ratio(1, 9)).toBeLessThan(9);
  expect(costs.ratio(4, 8)).toBeLessThan(2);
});

test("what was measured often counts, for the sizes around it too", () => {
  const costs = measured({ 1: Array(20).fill(10), 5: Array(20).fill(14), 9: Array(20).fill(18) });
  expect(costs.ratio(1, 5)).toBeCloseTo(1.4, 1);
  expect(costs.ratio(1, 9)).toBeCloseTo(1.8, 1);
  expect(costs.ratio(1, 7)).toBeGreaterThan(1.4);
  expect(costs.ratio(1, 7)).toBeLessThan(1.8);
  expect(costs.ratio(5, 9)).toBeCloseTo(1.29, 1);
});

test("a single slow pass does not stop guessing for ever", () => {
  // The first of a size is not counted; the second is a tenfold.
  const costs = measured({ 1: Array(20).fill(10), 2: [900, 100] });
  expect(costs.ratio(1, 8)).toBeLessThan(4.5);
  const never = measured({ 1: [10, 10], 6: [900] });
  expect(never.ratio(1, 6)).toBeLessThan(3.5);
  const slow = measured({ 1: [10, 10], 6: [90, 900, 900] });
  expect(slow.ratio(1, 6)).toBeGreaterThan(5);
  for (let i = 0; i < 1100; i++) slow.note(1, 10);
  expect(slow.ratio(1, 6)).toBeLessThan(3.5);
});

test("larger passes than are of interest, and such without a time, say nothing", () => {
  const costs = measured({ 1: [10, 10], 17: [1, 1, 1], 4: [0, NaN, 0] });
  expect(costs.ratio(1, 16)).toBe(new PassCosts(16).ratio(1, 16));
});

test("what was asked before does not show: each measurement counts from the next question on", () => {
  const times = Array.from({ length: 700 }, (_, i) => ({ tokens: 1 + ((i * 7) % 11), time: 10 + ((i * 13) % 17) }));
  const asked = new PassCosts(16);
  for (const [i, { tokens, time }] of times.entries()) {
    asked.note(tokens, time);
    if (i % 50 > 0) {
      asked.ratio(1, 2);
      continue;
    }
    const fresh = new PassCosts(16);
    for (const { tokens, time } of times.slice(0, i + 1)) fresh.note(tokens, time);
    for (let more = 1; more <= 16; more++) expect(asked.ratio(1, more)).toBe(fresh.ratio(1, more));
  }
});
