// neon-group: codes of 2, 4 or 8 bits with a scale per group, smlal, one row a lane.
//
// Per 16 columns and four rows: 4 pairs of smull/smlal into int16 (at most 4 * 15 * 128 = 7680), 1 pairwise addition of
// the two halves' widened sums. 8-bit codes go as two halves of 4 bits, the high one shifted back in int32.
#include "kernels/neon/group_qreg.h"

#include "kernels/group_gemm.inl"

namespace bitnet {
namespace {

struct Neon : GroupQreg {
  static constexpr int kTokens = 2;
  static constexpr int32_t kBias8 = 0;

  // Sums of four int16 neighbours.
  static BITNET_INLINE int32x4_t widen(int16x8_t low, int16x8_t high) {
    return vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  }
  static BITNET_INLINE void multiply_add16(int16x8_t& low, int16x8_t& high, uint8x16_t codes, int8x16_t x) {
    const int8x16_t c = vreinterpretq_s8_u8(codes);
    low = vmlal_s8(low, vget_low_s8(c), vget_low_s8(x));
    high = vmlal_high_s8(high, c, x);
  }

  template <int Bits, int T>
  static BITNET_INLINE void step(const uint8_t* w, const int8_t* x, size_t stride, Ints a[T][2]) {
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      int8x16_t v[4];
      unroll<4>([&](auto part) BITNET_INLINE_LAMBDA {
        v[part] = vreinterpretq_s8_s32(vdupq_n_s32(four(x + t * stride + 4 * part)));
      });
      unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
        int16x8_t low = vdupq_n_s16(0), high = low, top_low = low, top_high = low;
        unroll<4>([&](auto part) BITNET_INLINE_LAMBDA {
          const uint8x16_t c = codes<Bits, decltype(part)::value>(w, i);
          if constexpr (Bits == 8) {
            multiply_add16(low, high, vandq_u8(c, vdupq_n_u8(15)), v[part]);
            multiply_add16(top_low, top_high, vshrq_n_u8(c, 4), v[part]);
          } else {
            multiply_add16(low, high, c, v[part]);
          }
        });
        a[t][0].v[i] = vaddq_s32(a[t][0].v[i], widen(low, high));
        if constexpr (Bits == 8) a[t][1].v[i] = vaddq_s32(a[t][1].v[i], vshlq_n_s32(widen(top_low, top_high), 4));
      });
    });
  }
};

}  // namespace

extern const GroupKernel kNeonGroup = {
    "neon-group", "group", "neon", "Codes of 2, 4 or 8 bits with a scale per group, smlal, one row a lane.",
    kNeon, grouped::supports, grouped::packed_bytes, grouped::pack, group_scratch<Neon>, group_gemm<Neon>,
    nullptr, nullptr,
};

}  // namespace bitnet
