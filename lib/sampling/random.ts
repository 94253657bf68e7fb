import { randomBytes } from "node:crypto";

/**
 * Seeded generator of uniform numbers: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2021), its state filled by SplitMix64. Only 32-bit integer operations and one exact division, so a seed
 * gives the same numbers on every platform.
 */
export class Random {
  private readonly state: Uint32Array;

  /** @param seed an integer from 0 to 2^53 - 1, or the state of another generator */
  constructor(seed: number | Uint32Array) {
    this.state = typeof seed === "number" ? seedState(seed) : seed.slice();
  }

  /** The next 32 random bits, as an integer from 0 to 2^32 - 1. */
  nextUint32(): number {
    const s = this.state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return result;
  }

  /** A multiple of 2^-53 in [0, 1), made of two draws, the high bits first. */
  nextUnit(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** A generator that will give the same numbers, independently of this one. */
  clone(): Random {
    return new Random(this.state);
  }
}

/** A seed nobody chose: 32 bits of the system's randomness. */
export function randomSeed(): number {
  return randomBytes(4).readUInt32LE();
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** SplitMix64 (Steele, Lea and Flood, 2014): two outputs fill the 128 bits, low half first. */
function seedState(seed: number): Uint32Array {
  const words = new BigUint64Array(2);
  let counter = BigInt(seed);
  for (let i = 0; i < 2; i++) {
    counter = BigInt.asUintN(64, counter + 0x9e3779b97f4a7c15n);
    let mixed = counter;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    words[i] = mixed ^ (mixed >> 31n);
  }
  return Uint32Array.from([...words].flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]));
}
