// One byte a code with sdot: accumulator lanes run along k, 4 rows x 6 tokens = 24 accumulators; per 16 columns 4 + 6
// loads for 24 sdot.
#pragma once

#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

BITNET_INLINE void dot(int32x4_t& sum, uint8x16_t codes, int8x16_t x) {
  sum = vdotq_s32(sum, vreinterpretq_s8_u8(codes), x);
}

struct SdotByteTile {
  static constexpr int kTokens = 6;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    int32x4_t a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = vdupq_n_s32(0); });
    });
    for (size_t k = 0; k < columns; k += 16) {
      uint8x16_t c[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { c[r] = vld1q_u8(w + r * w_stride + k); });
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        const int8x16_t v = vld1q_s8(x + t * stride + k);
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { dot(a[t][r], c[r], v); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      store4(y + t * ldy, sum4(a[t][0], a[t][1], a[t][2], a[t][3]), sums[t], first);
    });
  }
};

}  // namespace
}  // namespace bitnet
