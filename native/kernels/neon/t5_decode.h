// Decoding five weights a byte (t5_layout.h) with tbl (force-inlined: see inline.h).
//
// 9 operations per 16 bytes (80 weights): h = byte >> 2; L = 64-entry look-up of h = t4 | j << 2 | t3 << 6; bits 0..4 of
// L with the byte's low two bits put in are t0 + 3 * t1 + 9 * t2 (bsl, and); three 32-entry look-ups give t0, t1, t2;
// t3 = L >> 6, t4 = L & 3. Tables take 10 registers.
#pragma once

#include "kernels/neon/qreg.h"
#include "kernels/t5_layout.h"
#include "kernels/t5_tables.h"

namespace bitnet {
namespace {

struct T5Decoder {
  uint8x16x4_t high;
  uint8x16x2_t digit[3];

  BITNET_INLINE T5Decoder() {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { high.val[i] = vld1q_u8(kT5Tables.high + 16 * i); });
    unroll<3>([&](auto d) BITNET_INLINE_LAMBDA {
      digit[d].val[0] = vld1q_u8(kT5Tables.digit[d]);
      digit[d].val[1] = vld1q_u8(kT5Tables.digit[d] + 16);
    });
  }

  // Codes t[0..4], all 0..2, of 16 bytes.
  BITNET_INLINE void decode(uint8x16_t v, uint8x16_t t[5]) const {
    const uint8x16_t three = vdupq_n_u8(3);
    const uint8x16_t l = vqtbl4q_u8(high, vshrq_n_u8(v, 2));
    const uint8x16_t i = vandq_u8(vbslq_u8(three, v, l), vdupq_n_u8(31));
    unroll<3>([&](auto d) BITNET_INLINE_LAMBDA { t[d] = vqtbl2q_u8(digit[d], i); });
    t[3] = vshrq_n_u8(l, 6);
    t[4] = vandq_u8(l, three);
  }
};

// A block to one byte a code, in natural order.
struct UnpackT5 {
  T5Decoder decoder;

  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      uint8x16_t t[5];
      decoder.decode(vld1q_u8(block + 16 * j), t);
      unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { vst1q_u8(out + 64 * f + 16 * j, t[f]); });
    });
  }
};

}  // namespace
}  // namespace bitnet
