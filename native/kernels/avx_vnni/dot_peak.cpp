// 12 independent vpdpbusd a round, more than latency and two or three ports ask for.
#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/dot_peak.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  Ymm a[12];
  const Ymm u = _mm256_set1_epi32(seed), s = _mm256_set1_epi32(seed + 1);
  unroll<12>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = _mm256_setzero_si256(); });
  for (size_t round = 0; round < rounds; round++) {
    unroll<12>([&](auto i) BITNET_INLINE_LAMBDA { dot(a[i], u, s); });
  }
  Ymm sum = a[0];
  unroll<12>([&](auto i) BITNET_INLINE_LAMBDA { sum = _mm256_xor_si256(sum, _mm256_add_epi32(a[i], _mm256_set1_epi32(i))); });
  return _mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
}

}  // namespace

extern const DotPeak kAvxVnniDotPeak = {"avx-vnni", kAvx2Level | kAvxVnni, run, 12 * 32};

}  // namespace bitnet
