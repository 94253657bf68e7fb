// Look-up tables with AVX2: 16 entries of a group are one register of int16, summed by vpmaddubsw. Used by AVX-512 too.
#pragma once

#include <immintrin.h>

#include "kernels/tmac_lut.h"

namespace bitnet {
namespace {

// Bias: 0, or 0x80 for kernels that want low parts as unsigned bytes, 128 too large.
// Unit: 2 or 4 groups.
template <int Bias, size_t Unit>
struct LutTableAvx2 {
  static constexpr size_t kUnit = Unit;

  // Words (x[0], x[1]) in every lane.
  static BITNET_INLINE __m256i pair(const int8_t* x) {
    int16_t two;
    memcpy(&two, x, 2);
    return _mm256_set1_epi16(two);
  }

  // Activations i and i + 1 of a group times what they count in each entry, plus 1: vpmaddubsw wants unsigned factors.
  template <class G, size_t I>
  static BITNET_INLINE __m256i raised(__m256i both) {
    return _mm256_maddubs_epi16(
        _mm256_setr_epi16(factors<G, I>(0), factors<G, I>(1), factors<G, I>(2), factors<G, I>(3), factors<G, I>(4),
                          factors<G, I>(5), factors<G, I>(6), factors<G, I>(7), factors<G, I>(8), factors<G, I>(9),
                          factors<G, I>(10), factors<G, I>(11), factors<G, I>(12), factors<G, I>(13), factors<G, I>(14),
                          factors<G, I>(15)),
        both);
  }
  // 0, 1 or 2 for -1, 0 or 1. Of fours, whose coefficients are -1 and 1, half of that: their entries are halved.
  template <class G, size_t I>
  static constexpr int16_t factors(int e) {
    constexpr int by = G::kCentred ? 2 : 1;
    return static_cast<int16_t>((G::coefficient(I, e) + 1) / by | (G::coefficient(I + 1, e) + 1) / by << 8);
  }

  // A group's entries.
  template <class G>
  static BITNET_INLINE __m256i group(const int8_t* x) {
    const __m256i ones = _mm256_set1_epi8(1), a = pair(x);
    const __m256i sum = raised<G, 0>(a), all = _mm256_maddubs_epi16(ones, a);
    if constexpr (G::kGroup == 2) {
      return _mm256_sub_epi16(sum, all);
    } else if constexpr (G::kGroup == 3) {
      const __m256i c = _mm256_setr_epi16(
          G::coefficient(2, 0), G::coefficient(2, 1), G::coefficient(2, 2), G::coefficient(2, 3), G::coefficient(2, 4),
          G::coefficient(2, 5), G::coefficient(2, 6), G::coefficient(2, 7), G::coefficient(2, 8), G::coefficient(2, 9),
          G::coefficient(2, 10), G::coefficient(2, 11), G::coefficient(2, 12), G::coefficient(2, 13),
          G::coefficient(2, 14), G::coefficient(2, 15));
      return _mm256_add_epi16(_mm256_sub_epi16(sum, all), _mm256_sign_epi16(_mm256_set1_epi16(x[2]), c));
    } else {
      const __m256i b = pair(x + 2);
      const __m256i four = _mm256_add_epi16(all, _mm256_maddubs_epi16(ones, b));
      return _mm256_sub_epi16(_mm256_add_epi16(sum, raised<G, 2>(b)), _mm256_srai_epi16(four, 1));
    }
  }

  static BITNET_INLINE LutSums sums(const int8_t* x) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    const __m128i fours = _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), v), _mm_set1_epi16(1));
    __m128i s = _mm_hadd_epi32(fours, _mm_srai_epi32(fours, 1));
    s = _mm_hadd_epi32(s, s);
    return {_mm_cvtsi128_si32(s), _mm_extract_epi32(s, 1)};
  }

  template <class G>
  static BITNET_INLINE uint32_t entries(const int8_t* x, uint8_t* low, uint8_t* high) {
    const __m256i byte = _mm256_set1_epi16(0xff), half = _mm256_set1_epi16(128);
    uint32_t wide = 0;
    for (size_t g = 0; g < G::kGroups; g += 2) {
      const __m256i a = group<G>(x + g * G::kGroup), b = group<G>(x + (g + 1) * G::kGroup);
      __m256i lo = _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
      __m256i hi = _mm256_packs_epi16(_mm256_srai_epi16(_mm256_add_epi16(a, half), 8),
                                      _mm256_srai_epi16(_mm256_add_epi16(b, half), 8));
      if (Bias) lo = _mm256_xor_si256(lo, _mm256_set1_epi8(static_cast<char>(Bias)));
      lo = _mm256_permute4x64_epi64(lo, 0xd8);
      hi = _mm256_permute4x64_epi64(hi, 0xd8);
      wide |= static_cast<uint32_t>(!_mm256_testz_si256(hi, hi)) << g / Unit;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + 16 * g), lo);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + 16 * g), hi);
    }
    return wide;
  }
};

// Stores 16 rows' sums, given as eight of even and eight of odd rows; `add`: to what is there.
BITNET_INLINE void store_rows(const __m256i (&sums)[2], int32_t* y, bool add) {
  const __m256i a = _mm256_unpacklo_epi32(sums[0], sums[1]), b = _mm256_unpackhi_epi32(sums[0], sums[1]);
  auto* out = reinterpret_cast<__m256i*>(y);
  __m256i y0 = _mm256_permute2x128_si256(a, b, 0x20), y1 = _mm256_permute2x128_si256(a, b, 0x31);
  if (add) {
    y0 = _mm256_add_epi32(y0, _mm256_loadu_si256(out));
    y1 = _mm256_add_epi32(y1, _mm256_loadu_si256(out + 1));
  }
  _mm256_storeu_si256(out, y0);
  _mm256_storeu_si256(out + 1, y1);
}

}  // namespace
}  // namespace bitnet
