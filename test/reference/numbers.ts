/** Number formats and rounding, written from IEEE 754 and the formats' definitions. */

const scratch = new DataView(new ArrayBuffer(8));

/** The value of an IEEE 754 binary16 bit pattern. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The exponent e of 2^e <= magnitude < 2^(e+1), for a magnitude above 0. */
function exponentOf(magnitude: number): number {
  const exponent = Math.floor(Math.log2(magnitude));
  // log2 may be off by one beside a power of two.
  if (2 ** exponent > magnitude) return exponent - 1;
  return 2 ** (exponent + 1) <= magnitude ? exponent + 1 : exponent;
}

/** The nearest IEEE 754 binary16 bit pattern, ties to even; overflow gives infinity. */
export function numberToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = exponentOf(magnitude);
  // A fraction that rounds up to 1024 carries into the exponent, as it should.
  return sign | (((exponent + 15) << 10) + roundHalfEven((magnitude / 2 ** exponent - 1) * 1024));
}

/** Distance of a finite value from the nearest tie of rounding to binary16, in steps of binary16 there: 0 to 0.5. */
export function halfTieDistance(value: number): number {
  const magnitude = Math.abs(value);
  const steps = magnitude < 2 ** -14 ? magnitude * 2 ** 24 : (magnitude / 2 ** exponentOf(magnitude)) * 1024;
  return Math.abs(steps - Math.floor(steps) - 0.5);
}

/** `value` rounded to the nearest binary16 number. */
export function roundToHalf(value: number): number {
  return halfToNumber(numberToHalf(value));
}

/** The value of a bfloat16 bit pattern: the upper half of a binary32. */
export function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, (bits & 0xffff) * 0x10000);
  return scratch.getFloat32(0);
}

/** The nearest integer; a tie goes to the even one. Exact for |value| < 2^52. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const fraction = value - below;
  if (fraction < 0.5) return below;
  if (fraction > 0.5) return below + 1;
  return below % 2 === 0 ? below : below + 1;
}
