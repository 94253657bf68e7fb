// GEMV over five weights a byte with sdot (include it from inside a file with the dot product extension).
//
// Per 16 bytes of a row: 1 load, 9 operations of decoding (t5_decode.h), 5 sdot; five activation loads shared by four rows.
#include "kernels/neon/t5_decode.h"

namespace bitnet {
namespace {

inline void t5_dot_gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t r0, size_t r1) {
  const size_t blocks = t5::blocks(w.columns), ahead = w.prefetch;
  const T5Decoder decoder;
  const uint8_t* p = w.data + r0 / 4 * blocks * 256;
  for (size_t row = r0; row < r1; row += 4) {
    int32x4_t a[4];
    unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = vdupq_n_s32(0); });
    for (size_t b = 0; b < blocks; b++, p += 256) {
      const int8_t* xb = x + b * t5::kBlockColumns;
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(p + 64 * r + ahead); });
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
        no_loads_ahead();
        int8x16_t v[5];
        unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { v[f] = vld1q_s8(xb + 64 * f + 16 * j); });
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          uint8x16_t t[5];
          decoder.decode(vld1q_u8(p + 64 * r + 16 * j), t);
          unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { a[r] = vdotq_s32(a[r], vreinterpretq_s8_u8(t[f]), v[f]); });
        });
      });
    }
    store4(y + row, sum4(a[0], a[1], a[2], a[3]), sum, true);
  }
}

}  // namespace
}  // namespace bitnet
