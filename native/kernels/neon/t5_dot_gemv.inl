// GEMV over five weights a byte with sdot (include it from inside a file with the dot product extension).
//
// Per 16 bytes of a row: 1 load, 9 operations of decoding (t5_decode.h), 5 sdot; five activation loads shared by four rows.
#include "kernels/four_rows.h"
#include "kernels/neon/t5_decode.h"

namespace bitnet {
namespace {

template <class Rows>
BITNET_INLINE void t5_dot_gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
  const size_t blocks = t5::Layout::blocks(w.columns);
  const T5Decoder decoder;
  for (size_t i = 0; i < rows.fours(); i++) {
    const FourRows four = rows.at(i);
    int32x4_t a[4];
    unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = vdupq_n_s32(0); });
    for (size_t b = 0; b < blocks; b++) {
      const int8_t* xb = x + b * t5::Layout::kBlockColumns;
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
        no_loads_ahead();
        int8x16_t v[5];
        unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { v[f] = vld1q_s8(xb + 64 * f + 16 * j); });
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          uint8x16_t t[5];
          decoder.decode(vld1q_u8(four.row[r] + 64 * b + 16 * j), t);
          unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { a[r] = vdotq_s32(a[r], vreinterpretq_s8_u8(t[f]), v[f]); });
        });
      });
    }
    alignas(16) int32_t s[4];
    keep4(s, sum4(a[0], a[1], a[2], a[3]), sum);
    rows.put(i, s, y);
  }
}

}  // namespace
}  // namespace bitnet
