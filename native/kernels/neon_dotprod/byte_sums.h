// ByteSums on four registers: sdot and udot for 16 products each. Per 64 bytes 4 loads, 4 eor to the signs that make both
// factors alike, and for each row a broadcast and 4 dot products.
#pragma once

#include "kernels/neon/kv_bytes.h"

namespace bitnet {
namespace {

struct ByteSums {
  int32x4_t v[4];
  using Bytes = KvBytes;
  using Four = uint8x16_t;
  static constexpr int kScoreRows = 6, kScoreVectors = 1, kValueRows = 6, kValueVectors = 1;
  static constexpr bool kWeightSums = true;

  static BITNET_INLINE Four four(const uint8_t* p) {
    return vreinterpretq_u8_s32(vdupq_n_s32(load_four_bytes(p)));
  }
  static BITNET_INLINE Bytes keys(const uint8_t* p) { return load_kv_bytes(p); }
  static BITNET_INLINE Bytes values(const uint8_t* p) { return load_kv_bytes(p); }
  static BITNET_INLINE Four query(const uint8_t* p) { return four(p); }
  static BITNET_INLINE Four weights(const uint8_t* p) { return four(p); }
  static BITNET_INLINE ByteSums start(int32_t sum) {
    const int32x4_t s = vdupq_n_s32(sum);
    return {{s, s, s, s}};
  }
  static BITNET_INLINE ByteSums score_start(int32_t) { return start(0); }
  static BITNET_INLINE ByteSums value_start(int32_t sum) { return start(-kKeyOffset * sum); }
  BITNET_INLINE void add_keys(const Bytes& k, Four q) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
      v[i] = vdotq_s32(v[i], vreinterpretq_s8_u8(k.quarter[i]), vreinterpretq_s8_u8(q));
    });
  }
  BITNET_INLINE void add_values(const Bytes& x, Four w) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
      v[i] = vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(v[i]), x.quarter[i], w));
    });
  }
  BITNET_INLINE V floats() const {
    V f;
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { f.q[i] = vcvtq_f32_s32(v[i]); });
    return f;
  }
};

}  // namespace
}  // namespace bitnet
