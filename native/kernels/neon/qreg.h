// 16-byte register helpers shared by the NEON I2_S kernels (force-inlined: see inline.h).
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"

namespace bitnet {
namespace {

BITNET_INLINE void prefetch(const uint8_t* p) {
#if defined(_MSC_VER) && !defined(__clang__)
  __prefetch(p);
#else
  __builtin_prefetch(p);
#endif
}

// The sums of the 4 lanes of four registers.
BITNET_INLINE int32x4_t sum4(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

// Stores four row sums: a first panel subtracts the token's activation sum, later ones add to what is there.
BITNET_INLINE void store4(int32_t* y, int32x4_t sums, int32_t activation_sum, bool first) {
  vst1q_s32(y, vaddq_s32(sums, first ? vdupq_n_s32(-activation_sum) : vld1q_s32(y)));
}

// Four row sums to s, less the token's activation sum.
BITNET_INLINE void keep4(int32_t s[4], int32x4_t sums, int32_t activation_sum) {
  vst1q_s32(s, vsubq_s32(sums, vdupq_n_s32(activation_sum)));
}

// Codes of field F (0..3) of 16 packed bytes, as bytes 0..2. The top field needs no mask, the bottom one no shift.
template <int F>
BITNET_INLINE uint8x16_t field(uint8x16_t v) {
  if constexpr (F == 0) {
    return vandq_u8(v, vdupq_n_u8(3));
  } else if constexpr (F == 3) {
    return vshrq_n_u8(v, 6);
  } else {
    return vandq_u8(vshrq_n_u8(v, 2 * F), vdupq_n_u8(3));
  }
}

// A block of 2-bit codes to one byte a code, in natural order.
struct UnpackI2s {
  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      const uint8x16_t v = vld1q_u8(block + 16 * j);
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { vst1q_u8(out + 64 * f + 16 * j, field<decltype(f)::value>(v)); });
    });
  }
};

}  // namespace
}  // namespace bitnet
