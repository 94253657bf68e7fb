// V on plain floats: the specification of their bits. std::fma is exact everywhere (in software where the CPU has none),
// contraction is off for the whole project.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/inline.h"

namespace bitnet {
namespace {

inline uint16_t float_to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));  // NaN, made quiet
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);                            // rounds to infinity
  if (magnitude < 0x33000001) return static_cast<uint16_t>(sign);                                      // rounds to zero
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
  const int shift = exponent < -14 ? -1 - exponent : 13;  // subnormal results keep fewer bits
  const uint32_t half_ulp = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
  uint32_t result = mantissa >> shift;
  if (exponent >= -14) result += static_cast<uint32_t>(exponent + 14) << 10;
  if (rest > half_ulp || (rest == half_ulp && (result & 1))) result++;
  return static_cast<uint16_t>(sign | result);
}

struct V {
  float lane[16];
  static constexpr int kDenseRows = 1, kDenseTokens = 1;
  static constexpr int kScoreRows = 1, kScoreVectors = 1, kValueRows = 1, kValueVectors = 1;

  template <class F>
  static V each(F&& f) {
    V v;
    for (int i = 0; i < 16; i++) v.lane[i] = f(i);
    return v;
  }
  static V load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static V load_partial(const float* p, size_t n) {
    return each([&](int i) { return static_cast<size_t>(i) < n ? p[i] : 0.0f; });
  }
  static void store(float* p, V v) { std::memcpy(p, v.lane, sizeof v.lane); }
  static void store_partial(float* p, V v, size_t n) { std::memcpy(p, v.lane, n * sizeof(float)); }
  static V zero() { return set1(0.0f); }
  static V set1(float f) {
    return each([&](int) { return f; });
  }
  static V add(V a, V b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static V sub(V a, V b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static V mul(V a, V b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static V div(V a, V b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static V fma(V a, V b, V c) {
    return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static V max(V a, V b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static V abs(V a) {
    return each([&](int i) { return std::fabs(a.lane[i]); });
  }
  static float sum(V v) {
    for (int width = 8; width; width /= 2) {
      for (int i = 0; i < width; i++) v.lane[i] += v.lane[i + width];
    }
    return v.lane[0];
  }
  static float maximum(V v) {
    for (int width = 8; width; width /= 2) {
      for (int i = 0; i < width; i++) v.lane[i] = v.lane[i] > v.lane[i + width] ? v.lane[i] : v.lane[i + width];
    }
    return v.lane[0];
  }
  static V from_i32(const int32_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  static V from_i8(const int8_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  static V from_f16(const uint16_t* p) {
    return each([&](int i) { return half_to_float(load_u16(reinterpret_cast<const uint8_t*>(p + i))); });
  }
  static V from_bf16(const uint16_t* p) {
    return each([&](int i) {
      uint16_t h;
      std::memcpy(&h, p + i, 2);
      const uint32_t bits = static_cast<uint32_t>(h) << 16;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    });
  }
  static void to_f16(uint16_t* p, V v) {
    for (int i = 0; i < 16; i++) p[i] = float_to_half(v.lane[i]);
  }
  static void to_i8(int8_t* p, V v) {
    // nearbyint rounds half to even in the default mode, which nothing here changes.
    for (int i = 0; i < 16; i++) p[i] = static_cast<int8_t>(std::nearbyint(v.lane[i]));
  }
  static void to_u8(uint8_t* p, V v) {
    for (int i = 0; i < 16; i++) p[i] = static_cast<uint8_t>(std::nearbyint(v.lane[i]));
  }
  static V pow2(V v) {
    return each([&](int i) {
      const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(v.lane[i]) + 127) << 23;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    });
  }
  static V times_pow2(V v, V n) {
    return each([&](int i) {
      uint32_t bits, shift;
      std::memcpy(&bits, &v.lane[i], 4);
      std::memcpy(&shift, &n.lane[i], 4);
      bits += shift << 23;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    });
  }
  static V keep_if_ge(V v, V x, V limit) {
    return each([&](int i) { return x.lane[i] >= limit.lane[i] ? v.lane[i] : 0.0f; });
  }
  static uint32_t mask_gt(V v, V limit) {
    uint32_t mask = 0;
    for (int i = 0; i < 16; i++) mask |= static_cast<uint32_t>(v.lane[i] > limit.lane[i]) << i;
    return mask;
  }
};

}  // namespace
}  // namespace bitnet

#define BITNET_FLOATS scalar_floats
