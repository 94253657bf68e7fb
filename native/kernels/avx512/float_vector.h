// V on 16 lanes.
#pragma once

#include "kernels/avx2/vector16.h"

namespace bitnet {
namespace {

BITNET_INLINE __mmask16 first_lanes(size_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1); }

// Lanes i + lane i+8.
BITNET_INLINE __m256 fold_halves(__m512 v) {
  return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

struct V {
  __m512 v;
  static constexpr int kDenseRows = 4, kDenseTokens = 6;
  static constexpr int kScoreRows = 12, kScoreVectors = 2, kValueRows = 6, kValueVectors = 4;

  static BITNET_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static BITNET_INLINE V load_partial(const float* p, size_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
  static BITNET_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
  static BITNET_INLINE void store_partial(float* p, V a, size_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
  static BITNET_INLINE V zero() { return {_mm512_setzero_ps()}; }
  static BITNET_INLINE V set1(float f) { return {_mm512_set1_ps(f)}; }
  static BITNET_INLINE V add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
  static BITNET_INLINE V sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static BITNET_INLINE V mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static BITNET_INLINE V div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
  static BITNET_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static BITNET_INLINE V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
  static BITNET_INLINE V abs(V a) { return {_mm512_abs_ps(a.v)}; }
  static BITNET_INLINE float sum(V a) { return sum8(fold_halves(a.v)); }
  static BITNET_INLINE float maximum(V a) {
    return maximum8(_mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
  }
  static BITNET_INLINE V from_i32(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  static BITNET_INLINE V from_i8(const int8_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  }
  static BITNET_INLINE V from_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static BITNET_INLINE V from_bf16(const uint16_t* p) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
  }
  static BITNET_INLINE void to_f16(uint16_t* p, V a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
  }
  static BITNET_INLINE void to_i8(int8_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
  }
  static BITNET_INLINE void to_u8(uint8_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(a.v)));
  }
  static BITNET_INLINE V pow2(V a) {
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
  }
  static BITNET_INLINE V times_pow2(V a, V n) {
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_slli_epi32(_mm512_castps_si512(n.v), 23)))};
  }
  static BITNET_INLINE V keep_if_ge(V a, V x, V limit) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GE_OQ), a.v)};
  }
  static BITNET_INLINE uint32_t mask_gt(V a, V limit) { return _mm512_cmp_ps_mask(a.v, limit.v, _CMP_GT_OQ); }
};

}  // namespace
}  // namespace bitnet

#define BITNET_FLOATS avx512_floats
