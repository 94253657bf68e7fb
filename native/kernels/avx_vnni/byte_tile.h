// One byte a code with vpdpbusd on 32-byte registers: 4 rows x 3 tokens = 12 accumulators, three registers of activations
// and one of codes, all 16; per 32 columns 3 + 4 loads for 12 vpdpbusd.
#pragma once

#include "kernels/avx2/ymm.h"

namespace bitnet {
namespace {

// See avx512/zmm.h: g++ 12 spills the accumulators of the intrinsic.
BITNET_INLINE void dot(Ymm& sum, Ymm u, const Ymm& s) {
#if defined(__GNUC__) && !defined(__clang__)
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u), "xm"(s));
#else
  sum = _mm256_dpbusd_avx_epi32(sum, u, s);
#endif
}

struct VnniByteTile {
  static constexpr int kTokens = 3;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    Ymm a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm256_setzero_si256(); });
    });
    for (size_t k = 0; k < columns; k += 32) {
      Ymm v[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = load(x + t * stride + k); });
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        const Ymm codes = load(w + r * w_stride + k);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { dot(a[t][r], codes, v[t]); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      store4(y + t * ldy, sum4(a[t][0], a[t][1], a[t][2], a[t][3]), sums[t], first);
    });
  }
};

}  // namespace
}  // namespace bitnet
