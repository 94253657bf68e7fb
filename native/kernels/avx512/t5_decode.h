// Decoding five weights a byte (t5_layout.h) on 64-byte registers, by vpermb, which ignores index bits 6 and 7
// (force-inlined: see inline.h).
//
// 8 operations per 64 bytes (320 weights): s = byte >> 2; L = table(s) = t4 | j << 2 | t3 << 6; i = low two bits of the
// byte, the rest of L (vpternlog): bits 0..5 are t0 + 3 * t1 + 9 * t2; three vpermb give t0, t1, t2; t4 = L & 3;
// t3 = L & 0xc0, left in place with the factor 64.
#pragma once

#include "kernels/avx512/zmm.h"
#include "kernels/t5_tables.h"

namespace bitnet {
namespace {

struct T5Decoder {
  Zmm high = load(kT5Tables.high), d0 = load(kT5Tables.digit[0]), d1 = load(kT5Tables.digit[1]),
      d2 = load(kT5Tables.digit[2]), low = _mm512_set1_epi8(3), top = _mm512_set1_epi8(static_cast<char>(0xc0));

  // t[3] carries the factor 64.
  BITNET_INLINE void decode(Zmm v, Zmm t[5]) const {
    const Zmm l = _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 2), high);
    const Zmm i = _mm512_ternarylogic_epi32(v, low, l, 0xe2);  // low ? v : l, in v's register
    t[0] = _mm512_permutexvar_epi8(i, d0);
    t[1] = _mm512_permutexvar_epi8(i, d1);
    t[2] = _mm512_permutexvar_epi8(i, d2);
    t[3] = _mm512_and_si512(l, top);
    t[4] = _mm512_and_si512(l, low);
  }
};

}  // namespace
}  // namespace bitnet
