// 32-byte register helpers shared by the AVX2 and AVX-VNNI I2_S kernels (force-inlined: see inline.h).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"

namespace bitnet {
namespace {

using Ymm = __m256i;

BITNET_INLINE Ymm load(const void* p) { return _mm256_loadu_si256(static_cast<const Ymm*>(p)); }

BITNET_INLINE void prefetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

// The sums of the 8 lanes of four registers.
BITNET_INLINE __m128i sum4(Ymm a, Ymm b, Ymm c, Ymm d) {
  const Ymm t = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

// Stores four row sums: a first panel subtracts the token's activation sum, later ones add to what is there.
BITNET_INLINE void store4(int32_t* y, __m128i sums, int32_t activation_sum, bool first) {
  auto* out = reinterpret_cast<__m128i*>(y);
  _mm_storeu_si128(out, _mm_add_epi32(sums, first ? _mm_set1_epi32(-activation_sum) : _mm_loadu_si128(out)));
}

// Four row sums to s, less the token's activation sum.
BITNET_INLINE void keep4(int32_t s[4], __m128i sums, int32_t activation_sum) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(s), _mm_sub_epi32(sums, _mm_set1_epi32(activation_sum)));
}

// Codes of field f (a constant 0..3) of 32 packed bytes, as bytes 0..2.
template <int F>
BITNET_INLINE Ymm field(Ymm v) {
  return _mm256_and_si256(F ? _mm256_srli_epi16(v, 2 * F) : v, _mm256_set1_epi8(3));
}

// A block of 2-bit codes to one byte a code, in natural order.
struct UnpackI2s {
  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      const Ymm v = load(block + 32 * h);
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
        _mm256_storeu_si256(reinterpret_cast<Ymm*>(out + 64 * f + 32 * h), field<decltype(f)::value>(v));
      });
    });
  }
};

}  // namespace
}  // namespace bitnet
