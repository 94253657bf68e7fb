// The 16 rows of a tile of group-scaled weights in four 16-byte registers (force-inlined: see inline.h).
#pragma once

#include <cstring>

#include "kernels/group_layout.h"
#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

struct GroupQreg {
  struct Ints {
    int32x4_t v[4];
  };
  struct Floats {
    float32x4_t v[4];
  };

  static BITNET_INLINE Ints zero() {
    const int32x4_t z = vdupq_n_s32(0);
    return {{z, z, z, z}};
  }
  static BITNET_INLINE Floats zero_floats() {
    const float32x4_t z = vdupq_n_f32(0);
    return {{z, z, z, z}};
  }
  static BITNET_INLINE Floats load_floats(const uint8_t* p) {
    Floats f;
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { f.v[i] = vreinterpretq_f32_u8(vld1q_u8(p + 16 * i)); });
    return f;
  }
  static BITNET_INLINE void prefetch_line(const uint8_t* p) { prefetch(p); }
  static BITNET_INLINE Ints add(Ints a, Ints b) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { a.v[i] = vaddq_s32(a.v[i], b.v[i]); });
    return a;
  }
  static BITNET_INLINE Ints sub(Ints a, int32_t b) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { a.v[i] = vsubq_s32(a.v[i], vdupq_n_s32(b)); });
    return a;
  }
  static BITNET_INLINE Ints sub_zeros(Ints a, const uint8_t* zeros, int32_t bias, int32_t sum) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
      const int32x4_t z = vsubq_s32(vreinterpretq_s32_u8(vld1q_u8(zeros + 16 * i)), vdupq_n_s32(bias));
      a.v[i] = vmlsq_s32(a.v[i], z, vdupq_n_s32(sum));
    });
    return a;
  }
  static BITNET_INLINE Floats multiply_add(Ints a, Floats scale, Floats f) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { f.v[i] = vfmaq_f32(f.v[i], vcvtq_f32_s32(a.v[i]), scale.v[i]); });
    return f;
  }
  static BITNET_INLINE void store(Floats f, float scale, float* y) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { vst1q_f32(y + 4 * i, vmulq_f32(f.v[i], vdupq_n_f32(scale))); });
  }

  // Codes of columns 4 * Part .. 4 * Part + 3 of rows 4i .. 4i + 3.
  template <int Bits, int Part>
  static BITNET_INLINE uint8x16_t codes(const uint8_t* w, int i) {
    constexpr int kFields = 8 / Bits, kField = Part % kFields;
    uint8x16_t v = vld1q_u8(w + 64 * (Part / kFields) + 16 * i);
    if constexpr (kField > 0) v = vshrq_n_u8(v, Bits * kField);
    if constexpr (Bits < 8 && kField + 1 < kFields) v = vandq_u8(v, vdupq_n_u8((1 << Bits) - 1));
    return v;
  }

  static BITNET_INLINE int32_t four(const int8_t* x) {
    int32_t v;
    std::memcpy(&v, x, 4);
    return v;
  }
};

}  // namespace
}  // namespace bitnet
