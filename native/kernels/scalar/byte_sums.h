// ByteSums as plain integers: the specification.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/inline.h"

namespace bitnet {
namespace {

struct ByteSums {
  int32_t lane[16];
  using Bytes = const uint8_t*;
  using Four = const uint8_t*;
  static constexpr int kScoreRows = 1, kScoreVectors = 1, kValueRows = 1, kValueVectors = 1;
  static constexpr bool kWeightSums = false;

  static Bytes keys(const uint8_t* p) { return p; }
  static Bytes values(const uint8_t* p) { return p; }
  static Four query(const uint8_t* p) { return p; }
  static Four weights(const uint8_t* p) { return p; }
  static ByteSums score_start(int32_t) { return {}; }
  static ByteSums value_start(int32_t) { return {}; }
  void add_keys(Bytes k, Four q) {
    for (int i = 0; i < 64; i++) lane[i / 4] += (k[i] - kKeyOffset) * static_cast<int8_t>(q[i % 4]);
  }
  void add_values(Bytes v, Four w) {
    for (int i = 0; i < 64; i++) lane[i / 4] += static_cast<int8_t>(v[i]) * w[i % 4];
  }
  V floats() const { return V::from_i32(lane); }
};

}  // namespace
}  // namespace bitnet
