// The 16 rows of a tile of group-scaled weights in two 32-byte registers (force-inlined: see inline.h).
#pragma once


#include "kernels/avx2/ymm.h"
#include "kernels/group_layout.h"

namespace bitnet {
namespace {

struct GroupYmm {
  struct Ints {
    Ymm v[2];
  };
  struct Floats {
    __m256 v[2];
  };
  static constexpr int32_t kBias8 = 0;

  static BITNET_INLINE Ints zero() { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }
  static BITNET_INLINE Floats zero_floats() { return {{_mm256_setzero_ps(), _mm256_setzero_ps()}}; }
  static BITNET_INLINE Floats load_floats(const uint8_t* p) {
    const auto* f = reinterpret_cast<const float*>(p);
    return {{_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)}};
  }
  static BITNET_INLINE void prefetch_line(const uint8_t* p) { prefetch(p); }
  static BITNET_INLINE Ints add(Ints a, Ints b) {
    return {{_mm256_add_epi32(a.v[0], b.v[0]), _mm256_add_epi32(a.v[1], b.v[1])}};
  }
  static BITNET_INLINE Ints sub(Ints a, int32_t b) {
    const Ymm v = _mm256_set1_epi32(b);
    return {{_mm256_sub_epi32(a.v[0], v), _mm256_sub_epi32(a.v[1], v)}};
  }
  static BITNET_INLINE Ints sub_zeros(Ints a, const uint8_t* zeros, int32_t bias, int32_t sum) {
    const Ymm s = _mm256_set1_epi32(sum), b = _mm256_set1_epi32(bias);
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      a.v[h] = _mm256_sub_epi32(a.v[h], _mm256_mullo_epi32(_mm256_sub_epi32(load(zeros + 32 * h), b), s));
    });
    return a;
  }
  static BITNET_INLINE Floats multiply_add(Ints a, Floats scale, Floats f) {
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      f.v[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a.v[h]), scale.v[h], f.v[h]);
    });
    return f;
  }
  static BITNET_INLINE void store(Floats f, float scale, float* y) {
    const __m256 s = _mm256_set1_ps(scale);
    _mm256_storeu_ps(y, _mm256_mul_ps(f.v[0], s));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(f.v[1], s));
  }

  // Four activations in every lane.
  static BITNET_INLINE Ymm broadcast(const int8_t* x) {
    return _mm256_set1_epi32(load_four_bytes(x));
  }

  // Codes of columns 4 * Part .. 4 * Part + 3 of half a tile.
  template <int Bits, int Part>
  static BITNET_INLINE Ymm codes(const uint8_t* w, int half) {
    constexpr int kFields = 8 / Bits, kField = Part % kFields;
    Ymm v = load(w + 64 * (Part / kFields) + 32 * half);
    if constexpr (kField > 0) v = _mm256_srli_epi16(v, Bits * kField);
    if constexpr (Bits < 8) v = _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>((1 << Bits) - 1)));
    return v;
  }
};

}  // namespace
}  // namespace bitnet
