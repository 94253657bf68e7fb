// neon-dotprod-group: codes of 2, 4 or 8 bits with a scale per group, sdot, one row a lane.
//
// Per 16 columns and four rows: 4 sdot per token. 8-bit codes are made signed by one exclusive or, which lowers them by
// 128.
#include "kernels/neon/group_qreg.h"

#include "kernels/group_gemm.inl"

namespace bitnet {
namespace {

struct NeonDotprod : GroupQreg {
  static constexpr int kTokens = 2;
  static constexpr int32_t kBias8 = 128;

  template <int Bits, int T>
  static BITNET_INLINE void step(const uint8_t* w, const int8_t* x, size_t stride, Ints a[T][2]) {
    unroll<4>([&](auto part) BITNET_INLINE_LAMBDA {
      int8x16_t v[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        v[t] = vreinterpretq_s8_s32(vdupq_n_s32(four(x + t * stride + 4 * part)));
      });
      unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
        uint8x16_t c = codes<Bits, decltype(part)::value>(w, i);
        if constexpr (Bits == 8) c = veorq_u8(c, vdupq_n_u8(128));
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          a[t][part % 2].v[i] = vdotq_s32(a[t][part % 2].v[i], vreinterpretq_s8_u8(c), v[t]);
        });
      });
    });
  }
};

}  // namespace

extern const GroupKernel kNeonDotprodGroup = {
    "neon-dotprod-group", "group", "neon-dotprod",
    "Codes of 2, 4 or 8 bits with a scale per group, sdot, one row a lane.",
    kNeon | kDotprod, grouped::supports, grouped::packed_bytes, grouped::pack, group_scratch<NeonDotprod>,
    group_gemm<NeonDotprod>, nullptr, nullptr,
};

}  // namespace bitnet
