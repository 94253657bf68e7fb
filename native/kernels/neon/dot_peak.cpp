// ARMv8.0 has no int8 dot product: smlal and smlal2 into int16 sums. Widening, which a kernel must do now and then, is
// left out.
#include "kernels/dot_peak.h"
#include "kernels/neon/byte_tile.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  int16x8_t a[16];
  uint8x16_t u = vreinterpretq_u8_s32(vdupq_n_s32(seed));
  int8x16_t s = vreinterpretq_s8_s32(vdupq_n_s32(seed + 1));
  unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = vdupq_n_s16(i); });
  for (size_t round = 0; round < rounds; round++) {
    unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = multiply_add(a[i], u, s); });
#if defined(__GNUC__)
    __asm__("" : "+w"(u), "+w"(s));
#endif
  }
  int16x8_t sum = a[0];
  unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { sum = veorq_s16(sum, vaddq_s16(a[i], vdupq_n_s16(i + 1))); });
  return vgetq_lane_s16(sum, 0);
}

}  // namespace

extern const DotPeak kNeonDotPeak = {"neon", kNeon, run, 16 * 16};

}  // namespace bitnet
