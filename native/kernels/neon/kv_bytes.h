// 64 stored bytes of keys or values for ByteSums, in the signs that make both factors of a product alike: keys lose their
// offset, values get one.
#pragma once

#include "kernels/float_ops.h"
#include "kernels/neon/qreg.h"

namespace bitnet {
namespace {

struct KvBytes {
  uint8x16_t quarter[4];
};

BITNET_INLINE KvBytes load_kv_bytes(const uint8_t* p) {
  KvBytes b;
  unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { b.quarter[i] = veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(kKeyOffset)); });
  return b;
}

}  // namespace
}  // namespace bitnet
