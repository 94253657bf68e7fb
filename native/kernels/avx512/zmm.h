// 64-byte register helpers shared by the AVX-512 kernels (force-inlined: see inline.h).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"

namespace bitnet {
namespace {

using Zmm = __m512i;

BITNET_INLINE Zmm load(const void* p) { return _mm512_loadu_si512(p); }

BITNET_INLINE void prefetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

// g++ 12 copies and spills the accumulator of the intrinsic; one line of assembly doesn't. Compilers may still schedule it.
BITNET_INLINE void dot(Zmm& sum, Zmm u, Zmm s) {
#if defined(__GNUC__) && !defined(__clang__)
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
#else
  sum = _mm512_dpbusd_epi32(sum, u, s);
#endif
}

// The sums of the 16 lanes of four registers.
BITNET_INLINE __m128i sum4(Zmm a, Zmm b, Zmm c, Zmm d) {
  const Zmm ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const Zmm cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const Zmm all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// Four row sums to s, less the token's activation sum.
BITNET_INLINE void keep4(int32_t s[4], __m128i sums, int32_t activation_sum) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(s), _mm_sub_epi32(sums, _mm_set1_epi32(activation_sum)));
}

// One byte a code: accumulator lanes run along k, 4 rows x 6 tokens = 24 accumulators; per 64 columns 4 + 6 loads for 24
// vpdpbusd.
struct ZmmByteTile {
  static constexpr int kTokens = 6;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    Zmm a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm512_setzero_si512(); });
    });
    for (size_t k = 0; k < columns; k += 64) {
      const Zmm w0 = load(w + k), w1 = load(w + w_stride + k), w2 = load(w + 2 * w_stride + k),
                w3 = load(w + 3 * w_stride + k);
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        const Zmm v = load(x + t * stride + k);
        dot(a[t][0], w0, v);
        dot(a[t][1], w1, v);
        dot(a[t][2], w2, v);
        dot(a[t][3], w3, v);
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      const __m128i s = sum4(a[t][0], a[t][1], a[t][2], a[t][3]);
      auto* out = reinterpret_cast<__m128i*>(y + t * ldy);
      _mm_storeu_si128(out, _mm_add_epi32(s, first ? _mm_set1_epi32(-sums[t]) : _mm_loadu_si128(out)));
    });
  }
};

}  // namespace
}  // namespace bitnet
