/**
 * Most combining marks in a row that a text may have which is brought into a normal form: JavaScript's takes time by the
 * square of them, minutes for 400,000. No script has more than a few.
 */
export const MOST_MARKS = 1024;

/** Whether a text has more than `most` combining marks in a row. Stands alone: its source is given to a thread. */
export function hasMarksBeyond(text: string, most: number): boolean {
  if (text.length <= most) return false;
  for (let i = 0, run = 0; i < text.length; i++) {
    const code = text.codePointAt(i) ?? 0;
    run = code >= 0x300 && /\p{M}/u.test(String.fromCodePoint(code)) ? run + 1 : 0;
    if (run > most) return true;
    if (code > 0xffff) i++;
  }
  return false;
}
