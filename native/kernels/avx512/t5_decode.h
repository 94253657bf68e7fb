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

  static constexpr int kFields = 5;
  // What a block's fields come from.
  struct State {
    Zmm l, i;
  };

  BITNET_INLINE void start(Zmm v, State& s) const {
    s.l = _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 2), high);
    s.i = _mm512_ternarylogic_epi32(v, low, s.l, 0xe2);  // low ? v : l, in v's register
  }

  // Field F as codes 0..2.
  template <int F>
  BITNET_INLINE Zmm field(const State& s) const {
    if constexpr (F < 3) return _mm512_permutexvar_epi8(s.i, F == 0 ? d0 : F == 1 ? d1 : d2);
    return F == 3 ? _mm512_srli_epi16(field_in_place(s), 6) : _mm512_and_si512(s.l, low);
  }

  // Field 3 with the factor 64.
  BITNET_INLINE Zmm field_in_place(const State& s) const { return _mm512_and_si512(s.l, top); }

  // All fields, t[3] with the factor 64.
  BITNET_INLINE void decode(Zmm v, Zmm t[5]) const {
    State s;
    start(v, s);
    t[0] = field<0>(s);
    t[1] = field<1>(s);
    t[2] = field<2>(s);
    t[3] = field_in_place(s);
    t[4] = field<4>(s);
  }

  // All fields as codes 0..2.
  BITNET_INLINE void unpack(Zmm v, Zmm t[5]) const {
    State s;
    start(v, s);
    unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { t[f] = field<f>(s); });
  }
};

}  // namespace
}  // namespace bitnet
