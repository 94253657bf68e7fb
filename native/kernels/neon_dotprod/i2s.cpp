// neon-dotprod-i2s: I2_S with sdot (ARMv8.2 dot product), four s8 x s8 products a lane into int32.
//
// GEMV, per 16 bytes of a row (64 weights): 1 load, 3 and, 1 ushr, 4 sdot. Fields 0, 1 and 2 are positive as s8 and are
// multiplied in place; 1 and 2 carry the factors 4 and 16 in accumulators of their own, undone once per row. Field 3
// would be negative, so it is shifted down (no mask needed) and shares field 0's accumulator. 12 accumulators for four
// rows, which share four activation registers. That is 0.125 vector operations and 0.03 loads a weight; sdot is half.
// GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/neon_dotprod/byte_tile.h"

#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

struct NeonDotprod : RowByRow<i2s::Layout, UnpackI2s> {
  using Tile = SdotByteTile;
  static constexpr int kPackedTokens = Tile::kTokens;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const uint8x16_t m0 = vdupq_n_u8(0x03), m1 = vdupq_n_u8(0x0c), m2 = vdupq_n_u8(0x30);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      int32x4_t ones[4], fours[4], sixteens[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = fours[r] = sixteens[r] = vdupq_n_s32(0); });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * 256;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
        unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
          no_loads_ahead();
          const int8x16_t x0 = vld1q_s8(xb + 16 * j), x1 = vld1q_s8(xb + 64 + 16 * j),
                          x2 = vld1q_s8(xb + 128 + 16 * j), x3 = vld1q_s8(xb + 192 + 16 * j);
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            const uint8x16_t v = vld1q_u8(four.row[r] + 64 * b + 16 * j);
            dot(ones[r], vandq_u8(v, m0), x0);
            dot(fours[r], vandq_u8(v, m1), x1);
            dot(sixteens[r], vandq_u8(v, m2), x2);
            dot(ones[r], vshrq_n_u8(v, 6), x3);
          });
        });
      }
      int32x4_t s[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        s[r] = vsraq_n_s32(vsraq_n_s32(ones[r], fours[r], 2), sixteens[r], 4);
      });
      alignas(16) int32_t sums[4];
      keep4(sums, sum4(s[0], s[1], s[2], s[3]), sum);
      rows.put(i, sums, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride,
                                        const int32_t* sums, int32_t* y, size_t ldy) {
    int32x4_t a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = vdupq_n_s32(0); });
    });
    for (size_t b = 0; b < blocks; b++) {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
      for (size_t j = 0; j < 64; j += 16) {
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
          no_loads_ahead();
          uint8x16_t w[4];
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            w[r] = field<decltype(f)::value>(vld1q_u8(four.row[r] + 64 * b + j));
          });
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            const int8x16_t v = vld1q_s8(x + t * stride + b * 256 + f * 64 + j);
            unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { dot(a[t][r], w[r], v); });
          });
        });
      }
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      keep4(y + t * ldy, sum4(a[t][0], a[t][1], a[t][2], a[t][3]), sums[t]);
    });
  }
};

}  // namespace

extern const TernaryKernel kNeonDotprodI2s = {
    "neon-dotprod-i2s", "i2s", "neon-dotprod",
    "2-bit codes with sdot, three of four fields multiplied in place: ARMv8.2 and later.",
    kNeon | kDotprod, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<NeonDotprod>, nullptr, nullptr, true,
    row_gemv_rows<NeonDotprod>,
};

}  // namespace bitnet
