// ByteSums on eight registers: bytes become products of 16 bits (smull, umull) that are added to lanes in twos (sadalp,
// uadalp). Per 64 bytes 4 loads, 4 eor to the signs that make both factors alike, and for each row a broadcast, 8
// multiplications and 8 additions.
#pragma once

#include "kernels/neon/kv_bytes.h"

namespace bitnet {
namespace {

struct ByteSums {
  int32x4_t v[8];  // a lane's sum in two halves that lie side by side
  using Bytes = KvBytes;
  using Four = uint8x8_t;
  static constexpr int kScoreRows = 2, kScoreVectors = 1, kValueRows = 2, kValueVectors = 1;
  static constexpr bool kWeightSums = true;

  static BITNET_INLINE Four four(const uint8_t* p) {
    return vreinterpret_u8_s32(vdup_n_s32(load_four_bytes(p)));
  }
  static BITNET_INLINE Bytes keys(const uint8_t* p) { return load_kv_bytes(p); }
  static BITNET_INLINE Bytes values(const uint8_t* p) { return load_kv_bytes(p); }
  static BITNET_INLINE Four query(const uint8_t* p) { return four(p); }
  static BITNET_INLINE Four weights(const uint8_t* p) { return four(p); }
  static BITNET_INLINE ByteSums start(int32_t sum) {
    ByteSums s;
    const int32_t pair[4] = {sum, 0, sum, 0};
    unroll<8>([&](auto i) BITNET_INLINE_LAMBDA { s.v[i] = vld1q_s32(pair); });
    return s;
  }
  static BITNET_INLINE ByteSums score_start(int32_t) { return start(0); }
  static BITNET_INLINE ByteSums value_start(int32_t sum) { return start(-kKeyOffset * sum); }
  BITNET_INLINE void add_keys(const Bytes& k, Four q) {
    const int8x8_t codes = vreinterpret_s8_u8(q);
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
      const int8x16_t b = vreinterpretq_s8_u8(k.quarter[i]);
      v[2 * i] = vpadalq_s16(v[2 * i], vmull_s8(vget_low_s8(b), codes));
      v[2 * i + 1] = vpadalq_s16(v[2 * i + 1], vmull_s8(vget_high_s8(b), codes));
    });
  }
  BITNET_INLINE void add_values(const Bytes& x, Four w) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
      const uint8x16_t b = x.quarter[i];
      auto add = [&](int32x4_t& sum, uint8x8_t half) BITNET_INLINE_LAMBDA {
        sum = vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sum), vmull_u8(half, w)));
      };
      add(v[2 * i], vget_low_u8(b));
      add(v[2 * i + 1], vget_high_u8(b));
    });
  }
  BITNET_INLINE V floats() const {
    V f;
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { f.q[i] = vcvtq_f32_s32(vpaddq_s32(v[2 * i], v[2 * i + 1])); });
    return f;
  }
};

}  // namespace
}  // namespace bitnet
