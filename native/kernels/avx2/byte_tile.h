// One byte a code with vpmaddubsw: 4 rows x 3 tokens of int16 accumulators; per 32 columns 4 loads, 12 vpmaddubsw with the
// activations as memory operands, 12 vpaddw. A product pair of codes up to 3 (the head's sketch; ternary codes stop at 2) is
// at most 2 * 3 * 128 = 768 in absolute value; widened to int32 every 1280 columns: 40 * 768 = 30720.
#pragma once

#include "kernels/avx2/ymm.h"

namespace bitnet {
namespace {

// int16 pairs -> int32 lanes.
BITNET_INLINE Ymm widen(Ymm v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }

// sum += the products of u8 and s8 pairs, in int16. As in avx512/zmm.h, g++ 12 copies and spills the accumulator of the
// intrinsic.
BITNET_INLINE void add_pairs(Ymm& sum, Ymm u, const Ymm& s) {
  const Ymm product = _mm256_maddubs_epi16(u, s);
#if defined(__GNUC__) && !defined(__clang__)
  __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(product));
#else
  sum = _mm256_add_epi16(sum, product);
#endif
}

struct MaddubsByteTile {
  static constexpr int kTokens = 3;

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
        const int8_t* v = x + k;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          const Ymm codes = load(w + r * w_stride + k);
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { add_pairs(a[t][r], codes, load(v + t * stride)); });
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
