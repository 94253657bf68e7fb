// ByteSums on one register: a vpdpbusd for 64 products.
#pragma once

#include "kernels/avx512/zmm.h"
#include "kernels/float_ops.h"

namespace bitnet {
namespace {

struct ByteSums {
  Zmm v;
  using Bytes = Zmm;
  using Four = Zmm;
  static constexpr int kScoreRows = 12, kScoreVectors = 2, kValueRows = 6, kValueVectors = 4;
  static constexpr bool kWeightSums = false;

  static BITNET_INLINE Zmm four(const uint8_t* p) { return _mm512_set1_epi32(load_four_bytes(p)); }
  static BITNET_INLINE Bytes keys(const uint8_t* p) { return load(p); }
  static BITNET_INLINE Bytes values(const uint8_t* p) { return load(p); }
  static BITNET_INLINE Four query(const uint8_t* p) { return four(p); }
  static BITNET_INLINE Four weights(const uint8_t* p) { return four(p); }
  static BITNET_INLINE ByteSums score_start(int32_t sum) { return {_mm512_set1_epi32(-kKeyOffset * sum)}; }
  static BITNET_INLINE ByteSums value_start(int32_t) { return {_mm512_setzero_si512()}; }
  BITNET_INLINE void add_keys(const Bytes& k, const Four& q) { dot(v, k, q); }
  BITNET_INLINE void add_values(const Bytes& x, const Four& w) { dot(v, w, x); }
  BITNET_INLINE V floats() const { return {_mm512_cvtepi32_ps(v)}; }
};

}  // namespace
}  // namespace bitnet
