// ByteSums on four registers of words: AVX2 multiplies bytes only in sums of two that saturate, so bytes are widened, and
// vpmaddwd makes a lane of two products. Per 64 bytes 4 widening loads, for each row a broadcast, its widening, 4 vpmaddwd
// and 4 additions.
#pragma once

#include "kernels/avx2/ymm.h"
#include "kernels/float_ops.h"

namespace bitnet {
namespace {

struct ByteSums {
  Ymm v[4];  // a lane's sum in two halves that lie side by side
  struct Bytes {
    Ymm words[4];
  };
  using Four = Ymm;
  static constexpr int kScoreRows = 2, kScoreVectors = 1, kValueRows = 2, kValueVectors = 1;
  static constexpr bool kWeightSums = false;

  static BITNET_INLINE __m128i sixteen(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static BITNET_INLINE __m128i four(const uint8_t* p) { return _mm_set1_epi32(load_four_bytes(p)); }
  static BITNET_INLINE Bytes keys(const uint8_t* p) {
    Bytes b;
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { b.words[i] = _mm256_cvtepu8_epi16(sixteen(p + 16 * i)); });
    return b;
  }
  static BITNET_INLINE Bytes values(const uint8_t* p) {
    Bytes b;
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { b.words[i] = _mm256_cvtepi8_epi16(sixteen(p + 16 * i)); });
    return b;
  }
  static BITNET_INLINE Four query(const uint8_t* p) { return _mm256_cvtepi8_epi16(four(p)); }
  static BITNET_INLINE Four weights(const uint8_t* p) { return _mm256_cvtepu8_epi16(four(p)); }
  static BITNET_INLINE ByteSums score_start(int32_t sum) {
    const Ymm start = _mm256_set1_epi64x(static_cast<uint32_t>(-kKeyOffset * sum));
    return {{start, start, start, start}};
  }
  static BITNET_INLINE ByteSums value_start(int32_t) {
    const Ymm zero = _mm256_setzero_si256();
    return {{zero, zero, zero, zero}};
  }
  BITNET_INLINE void add(const Bytes& b, Ymm words) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { v[i] = _mm256_add_epi32(v[i], _mm256_madd_epi16(b.words[i], words)); });
  }
  BITNET_INLINE void add_keys(const Bytes& k, const Four& q) { add(k, q); }
  BITNET_INLINE void add_values(const Bytes& x, const Four& w) { add(x, w); }
  static BITNET_INLINE __m256 joined(Ymm a, Ymm b) {
    return _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8));
  }
  BITNET_INLINE V floats() const { return {joined(v[0], v[1]), joined(v[2], v[3])}; }
};

}  // namespace
}  // namespace bitnet
