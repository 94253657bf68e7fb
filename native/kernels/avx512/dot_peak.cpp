// 24 independent vpdpbusd a round: twice what latency and two ports ask for.
#include "kernels/avx512/zmm.h"
#include "kernels/dot_peak.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  Zmm a[24];
  const Zmm u = _mm512_set1_epi32(seed), s = _mm512_set1_epi32(seed + 1);
  unroll<24>([&](auto i) BITNET_INLINE_LAMBDA { a[i] = _mm512_setzero_si512(); });
  for (size_t round = 0; round < rounds; round++) {
    unroll<24>([&](auto i) BITNET_INLINE_LAMBDA { dot(a[i], u, s); });
  }
  Zmm sum = a[0];
  unroll<24>([&](auto i) BITNET_INLINE_LAMBDA { sum = _mm512_xor_si512(sum, _mm512_add_epi32(a[i], _mm512_set1_epi32(i))); });
  return _mm_cvtsi128_si32(_mm512_castsi512_si128(sum));
}

}  // namespace

extern const DotPeak kAvx512VnniDotPeak = {"avx512-vnni", kAvx512Level, run, 24 * 64};

}  // namespace bitnet
