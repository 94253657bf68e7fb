// V on 2 x 8 lanes.
#pragma once

#include "kernels/avx2/vector16.h"

namespace bitnet {
namespace {

BITNET_INLINE __m256i first_lanes(size_t n) {  // n of 8
  const int k = n > 8 ? 8 : static_cast<int>(n);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(k), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct V {
  __m256 low, high;
  static constexpr int kDenseRows = 4, kDenseTokens = 3;
  static constexpr int kScoreRows = 6, kScoreVectors = 1, kValueRows = 6, kValueVectors = 1;

  static BITNET_INLINE V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static BITNET_INLINE V load_partial(const float* p, size_t n) {
    return {_mm256_maskload_ps(p, first_lanes(n)),
            n > 8 ? _mm256_maskload_ps(p + 8, first_lanes(n - 8)) : _mm256_setzero_ps()};
  }
  static BITNET_INLINE void store(float* p, V v) {
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
  }
  static BITNET_INLINE void store_partial(float* p, V v, size_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), v.low);
    if (n > 8) _mm256_maskstore_ps(p + 8, first_lanes(n - 8), v.high);
  }
  static BITNET_INLINE V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static BITNET_INLINE V set1(float f) { return {_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
  static BITNET_INLINE V add(V a, V b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static BITNET_INLINE V sub(V a, V b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static BITNET_INLINE V mul(V a, V b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static BITNET_INLINE V div(V a, V b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  static BITNET_INLINE V fma(V a, V b, V c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static BITNET_INLINE V max(V a, V b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static BITNET_INLINE V abs(V a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
  }
  static BITNET_INLINE float sum(V v) { return sum8(_mm256_add_ps(v.low, v.high)); }
  static BITNET_INLINE float maximum(V v) { return maximum8(_mm256_max_ps(v.low, v.high)); }
  static BITNET_INLINE V from_i32(const int32_t* p) {
    const auto* q = reinterpret_cast<const __m256i*>(p);
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(q)), _mm256_cvtepi32_ps(_mm256_loadu_si256(q + 1))};
  }
  static BITNET_INLINE V from_i8(const int8_t* p) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
  }
  static BITNET_INLINE V from_f16(const uint16_t* p) {
    const auto* q = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
  }
  static BITNET_INLINE V from_bf16(const uint16_t* p) {
    const auto* q = reinterpret_cast<const __m128i*>(p);
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(q)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(q + 1)), 16))};
  }
  static BITNET_INLINE void to_f16(uint16_t* p, V v) {
    auto* q = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(q, _mm256_cvtps_ph(v.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(q + 1, _mm256_cvtps_ph(v.high, _MM_FROUND_TO_NEAREST_INT));
  }
  static BITNET_INLINE __m256i words(V v) {
    const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high));
    return _mm256_permute4x64_epi64(packed, 0xd8);
  }
  static BITNET_INLINE void to_i8(int8_t* p, V v) {
    const __m256i w = words(v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
  }
  static BITNET_INLINE void to_u8(uint8_t* p, V v) {
    const __m256i w = words(v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
  }
  static BITNET_INLINE __m256 pow2_half(__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23));
  }
  static BITNET_INLINE V pow2(V v) { return {pow2_half(v.low), pow2_half(v.high)}; }
  static BITNET_INLINE __m256 times_pow2_half(__m256 v, __m256 n) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
  }
  static BITNET_INLINE V times_pow2(V v, V n) { return {times_pow2_half(v.low, n.low), times_pow2_half(v.high, n.high)}; }
  static BITNET_INLINE V keep_if_ge(V v, V x, V limit) {
    return {_mm256_and_ps(v.low, _mm256_cmp_ps(x.low, limit.low, _CMP_GE_OQ)),
            _mm256_and_ps(v.high, _mm256_cmp_ps(x.high, limit.high, _CMP_GE_OQ))};
  }
  static BITNET_INLINE uint32_t mask_gt(V v, V limit) {
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(v.low, limit.low, _CMP_GT_OQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(v.high, limit.high, _CMP_GT_OQ));
    return static_cast<uint32_t>(low | high << 8);
  }
};

}  // namespace
}  // namespace bitnet

#define BITNET_FLOATS avx2_floats
