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

// Codes of field f (a constant 0..3) of 32 packed bytes, as bytes 0..2.
template <int F>
BITNET_INLINE Ymm field(Ymm v) {
  return _mm256_and_si256(F ? _mm256_srli_epi16(v, 2 * F) : v, _mm256_set1_epi8(3));
}

// Four rows' blocks to one byte a code, in natural order.
BITNET_INLINE void unpack_group(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
  for (size_t b = 0; b < blocks; b++, group += 256) {
    unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
      prefetch(group + 64 * r + ahead);
      unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
        const Ymm v = load(group + 64 * r + 32 * h);
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
          _mm256_storeu_si256(reinterpret_cast<Ymm*>(bytes + r * stride + b * 256 + 64 * f + 32 * h),
                              field<decltype(f)::value>(v));
        });
      });
    });
  }
}

}  // namespace
}  // namespace bitnet
