// AVX2 has no int8 dot product: vpmaddubsw into int16 sums, each product with an add of its own. Widening the sums, which
// a kernel must do now and then, is left out.
#include "kernels/avx2/ymm.h"
#include "kernels/dot_peak.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  Ymm a[8], s[4], u[2];
  unroll<8>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = _mm256_setzero_si256(); });
  unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { s[i] = _mm256_set1_epi32(seed + i); });
  unroll<2>([&](auto i) BITNET_INLINE_LAMBDA { u[i] = _mm256_set1_epi32(seed + 4 + i); });
  for (size_t round = 0; round < rounds; round++) {
    unroll<8>([&](auto i) BITNET_INLINE_LAMBDA {
#if defined(__GNUC__)
      __asm__("" : "+x"(u[i / 4]));  // else the products would be computed once, before the loop
#endif
      a[i] = _mm256_add_epi16(a[i], _mm256_maddubs_epi16(u[i / 4], s[i % 4]));
    });
#if !defined(__GNUC__)
    u[0] = _mm256_xor_si256(u[0], a[0]);
    u[1] = _mm256_xor_si256(u[1], a[4]);
#endif
  }
  Ymm sum = a[0];
  unroll<8>([&](auto i) BITNET_INLINE_LAMBDA { sum = _mm256_xor_si256(sum, _mm256_add_epi32(a[i], _mm256_set1_epi32(i))); });
  return _mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
}

}  // namespace

extern const DotPeak kAvx2DotPeak = {"avx2", kAvx2Level, run, 8 * 32};

}  // namespace bitnet
