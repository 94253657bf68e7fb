import { Random, randomSeed } from "../../lib/sampling";

const MASK = (1n << 64n) - 1n;

/** The published algorithms in integers without bounds: SplitMix64 for the state, xoshiro128** for the numbers. */
class ReferenceRandom {
  private s: bigint[];

  constructor(seed: bigint) {
    let counter = seed;
    const next = (): bigint => {
      counter = (counter + 0x9e3779b97f4a7c15n) & MASK;
      let z = counter;
      z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
      z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
      return z ^ (z >> 31n);
    };
    const [first, second] = [next(), next()];
    this.s = [first % 2n ** 32n, first / 2n ** 32n, second % 2n ** 32n, second / 2n ** 32n];
  }

  next(): number {
    const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) % 2n ** 32n;
    const s = this.s;
    const result = (rotl((s[1]! * 5n) % 2n ** 32n, 7n) * 9n) % 2n ** 32n;
    const t = (s[1]! << 9n) % 2n ** 32n;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotl(s[3]!, 11n);
    return Number(result);
  }
}

describe("Random", () => {
  test("gives the first numbers of xoshiro128** from the state 1, 2, 3, 4", () => {
    // 5 * 2 rotated by 7, times 9; then the state's second word is 0.
    const random = new Random(Uint32Array.of(1, 2, 3, 4));
    expect([random.nextUint32(), random.nextUint32()]).toEqual([11520, 0]);
  });

  test.each([0, 1, 7, 2 ** 32, 2 ** 53 - 1])("equals the algorithm in unbounded integers, seed %d", (seed) => {
    const random = new Random(seed);
    const reference = new ReferenceRandom(BigInt(seed));
    for (let i = 0; i < 500; i++) expect(random.nextUint32()).toBe(reference.next());
  });

  test("units are uniform in [0, 1)", () => {
    const random = new Random(9);
    const bins = new Array<number>(64).fill(0);
    for (let i = 0; i < 64000; i++) bins[Math.floor(random.nextUnit() * 64)]!++;
    expect(bins).toHaveLength(64);
    const chiSquared = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquared).toBeLessThan(63 + 5 * Math.sqrt(126));
  });

  test("chosen seeds are valid seeds", () => {
    const seed = randomSeed();
    expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
  });
});
