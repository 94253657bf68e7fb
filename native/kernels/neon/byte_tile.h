// One byte a code with smlal: 4 rows x 4 tokens = 16 int16 accumulators; per 16 columns 8 loads for 32 smlal; widened every
// 1024 columns. A product of a code (0..2) lies in -256..254, so 128 of them fit: 128 * -256 = -32768, 128 * 254 = 32512.
#pragma once

#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

BITNET_INLINE int16x8_t multiply_add(int16x8_t sum, uint8x16_t codes, int8x16_t x) {
  const int8x16_t w = vreinterpretq_s8_u8(codes);
  return vmlal_high_s8(vmlal_s8(sum, vget_low_s8(w), vget_low_s8(x)), w, x);
}

BITNET_INLINE int16x8_t multiply(uint8x16_t codes, int8x16_t x) {
  const int8x16_t w = vreinterpretq_s8_u8(codes);
  return vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x);
}

struct SmlalByteTile {
  static constexpr int kTokens = 4;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    constexpr size_t kFlushColumns = 1024;  // 64 steps * 2 products a lane = 128
    int32x4_t total[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = vdupq_n_s32(0); });
    });
    for (size_t k0 = 0; k0 < columns; k0 += kFlushColumns) {
      const size_t k1 = k0 + kFlushColumns < columns ? k0 + kFlushColumns : columns;
      int16x8_t a[T][4];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = vdupq_n_s16(0); });
      });
      for (size_t k = k0; k < k1; k += 16) {
        uint8x16_t c[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { c[r] = vld1q_u8(w + r * w_stride + k); });
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          const int8x16_t v = vld1q_s8(x + t * stride + k);
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = multiply_add(a[t][r], c[r], v); });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = vpadalq_s16(total[t][r], a[t][r]); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      store4(y + t * ldy, sum4(total[t][0], total[t][1], total[t][2], total[t][3]), sums[t], first);
    });
  }
};

}  // namespace
}  // namespace bitnet
