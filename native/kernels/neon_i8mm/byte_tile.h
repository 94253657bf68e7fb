// One byte a code with usmmla (2x8 by 8x2 products, 32 multiply-adds): an accumulator holds 2 rows x 2 tokens. Rows come in
// pairs interleaved by 8 columns, so a 16-byte load is an operand; two tokens' 16-byte loads become two operands with two
// zips. Per 16 columns, 4 rows and 6 tokens: 4 + 6 loads, 6 zips, 12 usmmla (sdot would take 24).
#pragma once

#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

BITNET_INLINE uint8x16_t zip_low(uint8x16_t a, uint8x16_t b) {
  return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}
BITNET_INLINE uint8x16_t zip_high(uint8x16_t a, uint8x16_t b) {
  return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}
BITNET_INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}
BITNET_INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

// 4 rows x T tokens of sums: a[p][h] = rows 2h, 2h+1 by tokens 2p, 2p+1. An odd last token is paired with itself.
template <int T>
struct Sums {
  static constexpr int kPairs = (T + 1) / 2;
  int32x4_t a[kPairs][2];

  BITNET_INLINE void clear() {
    unroll<kPairs>([&](auto p) BITNET_INLINE_LAMBDA { a[p][0] = a[p][1] = vdupq_n_s32(0); });
  }

  // Adds 16 columns. Operands: low[h], high[h] = columns 0-7 and 8-15 of rows 2h and 2h+1; x = the first token.
  BITNET_INLINE void add(const uint8x16_t low[2], const uint8x16_t high[2], const int8_t* x, size_t stride) {
    unroll<kPairs>([&](auto p) BITNET_INLINE_LAMBDA {
      constexpr int kFirst = 2 * decltype(p)::value, kSecond = kFirst + 1 < T ? kFirst + 1 : kFirst;
      const int8x16_t x0 = vld1q_s8(x + kFirst * stride), x1 = vld1q_s8(x + kSecond * stride);
      const int8x16_t xl = zip_low(x0, x1), xh = zip_high(x0, x1);
      a[p][0] = vusmmlaq_s32(a[p][0], low[0], xl);
      a[p][1] = vusmmlaq_s32(a[p][1], low[1], xl);
      a[p][0] = vusmmlaq_s32(a[p][0], high[0], xh);
      a[p][1] = vusmmlaq_s32(a[p][1], high[1], xh);
    });
  }

  BITNET_INLINE void store(const int32_t* sums, int32_t* y, size_t ldy, bool first) const {
    unroll<kPairs>([&](auto p) BITNET_INLINE_LAMBDA {
      constexpr int kFirst = 2 * decltype(p)::value;
      store4(y + kFirst * ldy, vuzp1q_s32(a[p][0], a[p][1]), sums[kFirst], first);
      if constexpr (kFirst + 1 < T) {
        store4(y + (kFirst + 1) * ldy, vuzp2q_s32(a[p][0], a[p][1]), sums[kFirst + 1], first);
      }
    });
  }
};

struct UsmmlaByteTile {
  static constexpr int kTokens = 6;

  template <int T>
  static BITNET_INLINE void tile_bytes(const uint8_t* w, size_t w_stride, size_t columns, const int8_t* x, size_t stride,
                                       const int32_t* sums, int32_t* y, size_t ldy, bool first) {
    Sums<T> total;
    total.clear();
    const uint8_t* w2 = w + 2 * w_stride;
    for (size_t k = 0; k < columns; k += 16) {
      const uint8x16_t low[2] = {vld1q_u8(w + 2 * k), vld1q_u8(w2 + 2 * k)};
      const uint8x16_t high[2] = {vld1q_u8(w + 2 * k + 16), vld1q_u8(w2 + 2 * k + 16)};
      total.add(low, high, x + k, stride);
    }
    total.store(sums, y, ldy, first);
  }
};

}  // namespace
}  // namespace bitnet
