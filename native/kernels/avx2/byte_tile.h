// One byte a code with vpmaddubsw: 4 rows x 2 tokens of int16 accumulators; per 32 columns 6 loads, 8 vpmaddubsw, 8
// vpaddw. A product pair of codes up to 2 is at most 2 * 2 * 128 = 512 in absolute value; widened to int32 every 1280
// columns: 40 * 512 = 20480.
#pragma once

#include "kernels/avx2/ymm.h"

namespace bitnet {
namespace {

// int16 pairs -> int32 lanes.
BITNET_INLINE Ymm widen(Ymm v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }

struct MaddubsByteTile {
  static constexpr int kTokens = 2;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    constexpr size_t kFlushColumns = 1280;
    Ymm total[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = _mm256_setzero_si256(); });
    });
    for (size_t k0 = 0; k0 < columns; k0 += kFlushColumns) {
      const size_t k1 = k0 + kFlushColumns < columns ? k0 + kFlushColumns : columns;
      Ymm a[T][4];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm256_setzero_si256(); });
      });
      for (size_t k = k0; k < k1; k += 32) {
        const Ymm w0 = load(w + k), w1 = load(w + w_stride + k), w2 = load(w + 2 * w_stride + k),
                  w3 = load(w + 3 * w_stride + k);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          const Ymm v = load(x + t * stride + k);
          a[t][0] = _mm256_add_epi16(a[t][0], _mm256_maddubs_epi16(w0, v));
          a[t][1] = _mm256_add_epi16(a[t][1], _mm256_maddubs_epi16(w1, v));
          a[t][2] = _mm256_add_epi16(a[t][2], _mm256_maddubs_epi16(w2, v));
          a[t][3] = _mm256_add_epi16(a[t][3], _mm256_maddubs_epi16(w3, v));
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = _mm256_add_epi32(total[t][r], widen(a[t][r])); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      store4(y + t * ldy, sum4(total[t][0], total[t][1], total[t][2], total[t][3]), sums[t], first);
    });
  }
};

}  // namespace
}  // namespace bitnet
