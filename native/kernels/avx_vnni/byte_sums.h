// ByteSums on two registers: a vpdpbusd for 32 products.
#pragma once

#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/float_ops.h"

namespace bitnet {
namespace {

struct ByteSums {
  Ymm v[2];
  struct Bytes {
    Ymm half[2];
  };
  using Four = Ymm;
  static constexpr int kScoreRows = 6, kScoreVectors = 1, kValueRows = 3, kValueVectors = 2;
  static constexpr bool kWeightSums = false;

  static BITNET_INLINE Ymm four(const uint8_t* p) { return _mm256_set1_epi32(load_four_bytes(p)); }
  static BITNET_INLINE Bytes keys(const uint8_t* p) { return {{load(p), load(p + 32)}}; }
  static BITNET_INLINE Bytes values(const uint8_t* p) { return {{load(p), load(p + 32)}}; }
  static BITNET_INLINE Four query(const uint8_t* p) { return four(p); }
  static BITNET_INLINE Four weights(const uint8_t* p) { return four(p); }
  static BITNET_INLINE ByteSums score_start(int32_t sum) {
    const Ymm start = _mm256_set1_epi32(-kKeyOffset * sum);
    return {{start, start}};
  }
  static BITNET_INLINE ByteSums value_start(int32_t) { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }
  BITNET_INLINE void add_keys(const Bytes& k, const Four& q) {
    unroll<2>([&](auto i) BITNET_INLINE_LAMBDA { dot(v[i], k.half[i], q); });
  }
  BITNET_INLINE void add_values(const Bytes& x, const Four& w) {
    unroll<2>([&](auto i) BITNET_INLINE_LAMBDA { dot(v[i], w, x.half[i]); });
  }
  BITNET_INLINE V floats() const { return {_mm256_cvtepi32_ps(v[0]), _mm256_cvtepi32_ps(v[1])}; }
};

}  // namespace
}  // namespace bitnet
