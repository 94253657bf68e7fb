// Transposition of 16 registers of 16 dwords (force-inlined: see inline.h): 64 shuffles.
#pragma once

#include "kernels/avx512/zmm.h"

namespace bitnet {
namespace {

// The 16 dwords of 16 registers, transposed: v[i] becomes dword i of all of them.
BITNET_INLINE void transpose_dwords(Zmm v[16]) {
  Zmm a[16], b[16];
  unroll<8>([&](auto i) BITNET_INLINE_LAMBDA {
    a[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  });
  // b[4g + c]: dword c of each 128-bit lane, rows 4g .. 4g + 3.
  unroll<4>([&](auto g) BITNET_INLINE_LAMBDA {
    b[4 * g] = _mm512_unpacklo_epi64(a[4 * g], a[4 * g + 2]);
    b[4 * g + 1] = _mm512_unpackhi_epi64(a[4 * g], a[4 * g + 2]);
    b[4 * g + 2] = _mm512_unpacklo_epi64(a[4 * g + 1], a[4 * g + 3]);
    b[4 * g + 3] = _mm512_unpackhi_epi64(a[4 * g + 1], a[4 * g + 3]);
  });
  // Lane l of the four b[4g + c] makes v[4l + c].
  unroll<4>([&](auto c) BITNET_INLINE_LAMBDA {
    const Zmm low01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x44), high01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xee);
    const Zmm low23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x44), high23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xee);
    v[c] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    v[4 + c] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    v[8 + c] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    v[12 + c] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  });
}

}  // namespace
}  // namespace bitnet
