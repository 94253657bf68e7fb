// 16 independent sdot a round.
#include "kernels/dot_peak.h"
#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  int32x4_t a[16];
  const int8x16_t u = vreinterpretq_s8_s32(vdupq_n_s32(seed)), s = vreinterpretq_s8_s32(vdupq_n_s32(seed + 1));
  unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = vdupq_n_s32(i); });
  for (size_t round = 0; round < rounds; round++) {
    unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = vdotq_s32(a[i], u, s); });
  }
  int32x4_t sum = a[0];
  unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { sum = veorq_s32(sum, vaddq_s32(a[i], vdupq_n_s32(i + 1))); });
  return vgetq_lane_s32(sum, 0);
}

}  // namespace

extern const DotPeak kNeonDotprodDotPeak = {"neon-dotprod", kNeon | kDotprod, run, 16 * 16};

}  // namespace bitnet
