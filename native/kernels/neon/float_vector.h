// V on 4 x 4 lanes. ARMv8.0 suffices: fused multiply-add and half-precision conversion are part of it.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"

namespace bitnet {
namespace {

// a > b ? a : b, so b where either is a NaN (fmax would differ).
BITNET_INLINE float32x4_t greater(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

BITNET_INLINE float32x4_t select_bits(float32x4_t v, uint32x4_t mask) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask));
}

struct V {
  float32x4_t q[4];
  static constexpr int kDenseRows = 4, kDenseTokens = 3;
  static constexpr int kScoreRows = 6, kScoreVectors = 1, kValueRows = 6, kValueVectors = 1;

  template <class F>
  static BITNET_INLINE V each(F&& f) {
    return {{f(0), f(1), f(2), f(3)}};
  }
  static BITNET_INLINE V load(const float* p) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vld1q_f32(p + 4 * i); });
  }
  static BITNET_INLINE V load_partial(const float* p, size_t n) {
    float padded[16] = {};
    for (size_t i = 0; i < n && i < 16; i++) padded[i] = p[i];
    return load(padded);
  }
  static BITNET_INLINE void store(float* p, V v) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { vst1q_f32(p + 4 * i, v.q[i]); });
  }
  static BITNET_INLINE void store_partial(float* p, V v, size_t n) {
    float padded[16];
    store(padded, v);
    for (size_t i = 0; i < n && i < 16; i++) p[i] = padded[i];
  }
  static BITNET_INLINE V zero() { return set1(0.0f); }
  static BITNET_INLINE V set1(float f) {
    return each([&](int) BITNET_INLINE_LAMBDA { return vdupq_n_f32(f); });
  }
  static BITNET_INLINE V add(V a, V b) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vaddq_f32(a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V sub(V a, V b) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vsubq_f32(a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V mul(V a, V b) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vmulq_f32(a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V div(V a, V b) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vdivq_f32(a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V fma(V a, V b, V c) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vfmaq_f32(c.q[i], a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V max(V a, V b) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return greater(a.q[i], b.q[i]); });
  }
  static BITNET_INLINE V abs(V a) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vabsq_f32(a.q[i]); });
  }
  // Lanes i + lane i+8, then + lane i+4.
  static BITNET_INLINE float32x4_t fold(const V& v) {
    return vaddq_f32(vaddq_f32(v.q[0], v.q[2]), vaddq_f32(v.q[1], v.q[3]));
  }
  static BITNET_INLINE float sum(V v) {
    const float32x4_t x = fold(v);
    const float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(vpadd_f32(y, y), 0);
  }
  static BITNET_INLINE float maximum(V v) {
    const float32x4_t x = greater(greater(v.q[0], v.q[2]), greater(v.q[1], v.q[3]));
    const float32x4_t y = greater(x, vextq_f32(x, x, 2));
    return vgetq_lane_f32(greater(y, vextq_f32(y, y, 1)), 0);
  }
  static BITNET_INLINE V from_i32(const int32_t* p) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vcvtq_f32_s32(vld1q_s32(p + 4 * i)); });
  }
  static BITNET_INLINE V from_i8(const int8_t* p) {
    const int8x16_t bytes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
  }
  static BITNET_INLINE V from_f16(const uint16_t* p) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
  }
  static BITNET_INLINE V from_bf16(const uint16_t* p) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
  }
  static BITNET_INLINE void to_f16(uint16_t* p, V v) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.q[i]))); });
  }
  static BITNET_INLINE int16x8_t words(float32x4_t low, float32x4_t high) {
    return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
  }
  static BITNET_INLINE void to_i8(int8_t* p, V v) {
    vst1q_s8(p, vqmovn_high_s16(vqmovn_s16(words(v.q[0], v.q[1])), words(v.q[2], v.q[3])));
  }
  static BITNET_INLINE void to_u8(uint8_t* p, V v) {
    vst1q_u8(p, vqmovun_high_s16(vqmovun_s16(words(v.q[0], v.q[1])), words(v.q[2], v.q[3])));
  }
  static BITNET_INLINE V pow2(V v) {
    return each([&](int i) BITNET_INLINE_LAMBDA {
      return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(v.q[i]), vdupq_n_s32(127)), 23));
    });
  }
  static BITNET_INLINE V times_pow2(V v, V n) {
    return each([&](int i) BITNET_INLINE_LAMBDA {
      const int32x4_t shift = vshlq_n_s32(vreinterpretq_s32_f32(n.q[i]), 23);
      return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v.q[i]), shift));
    });
  }
  static BITNET_INLINE V keep_if_ge(V v, V x, V limit) {
    return each([&](int i) BITNET_INLINE_LAMBDA { return select_bits(v.q[i], vcgeq_f32(x.q[i], limit.q[i])); });
  }
  static BITNET_INLINE uint32_t mask_gt(V v, V limit) {
    static const uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t low = vmovn_high_u32(vmovn_u32(vcgtq_f32(v.q[0], limit.q[0])), vcgtq_f32(v.q[1], limit.q[1]));
    const uint16x8_t high = vmovn_high_u32(vmovn_u32(vcgtq_f32(v.q[2], limit.q[2])), vcgtq_f32(v.q[3], limit.q[3]));
    const uint8x16_t mask = vandq_u8(vmovn_high_u16(vmovn_u16(low), high), vld1q_u8(kBits));
    return static_cast<uint32_t>(vaddv_u8(vget_low_u8(mask)) | vaddv_u8(vget_high_u8(mask)) << 8);
  }
};

}  // namespace
}  // namespace bitnet

#define BITNET_FLOATS neon_floats
