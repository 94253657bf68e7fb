// neon-i2s: I2_S with the widening multiply-add of ARMv8.0 (smlal), exact in 16 bits.
//
// smlal adds eight s8 x s8 products into int16 lanes. A product of a code (0..2) lies in -256..254, so 128 of them fit:
// 128 * -256 = -32768 and 128 * 254 = 32512. A field multiplied in place carries the factor 4 (32 products fit) or 16
// (8 fit: 8 * 32 * -128 = -32768); the top field would be negative as s8 and is shifted down instead.
// GEMV, per row and block (64 bytes, 256 weights): 4 loads, 12 and, 4 ushr, 32 smlal/smull, 2 ssra that undo the factors
// exactly, a quarter sadalp (to int32 every four blocks); 16 activation loads shared by four rows. That is 0.21 vector
// operations and 0.03 loads a weight; smlal alone is 0.125.
// GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/neon/byte_tile.h"

#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

struct Neon : RowByRow<i2s::Layout, UnpackI2s> {
  using Tile = SmlalByteTile;
  static constexpr int kPackedTokens = Tile::kTokens;
  static constexpr size_t kFlushBlocks = 4;  // 4 blocks * 32 products a lane = 128

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const uint8x16_t m0 = vdupq_n_u8(0x03), m1 = vdupq_n_u8(0x0c), m2 = vdupq_n_u8(0x30);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      int32x4_t total[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = vdupq_n_s32(0); });
      for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
        const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
        int16x8_t ones[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = vdupq_n_s16(0); });
        for (size_t b = b0; b < b1; b++) {
          const int8_t* xb = x + b * 256;
          int16x8_t fours[4], sixteens[4];
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
          unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
            no_loads_ahead();
            const int8x16_t x0 = vld1q_s8(xb + 16 * j), x1 = vld1q_s8(xb + 64 + 16 * j),
                            x2 = vld1q_s8(xb + 128 + 16 * j), x3 = vld1q_s8(xb + 192 + 16 * j);
            unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
              const uint8x16_t v = vld1q_u8(four.row[r] + 64 * b + 16 * j);
              const uint8x16_t f1 = vandq_u8(v, m1), f2 = vandq_u8(v, m2);
              ones[r] = multiply_add(ones[r], vandq_u8(v, m0), x0);
              if constexpr (decltype(j)::value == 0) {
                fours[r] = multiply(f1, x1);
                sixteens[r] = multiply(f2, x2);
              } else {
                fours[r] = multiply_add(fours[r], f1, x1);
                sixteens[r] = multiply_add(sixteens[r], f2, x2);
              }
              ones[r] = multiply_add(ones[r], vshrq_n_u8(v, 6), x3);
            });
          });
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            ones[r] = vsraq_n_s16(vsraq_n_s16(ones[r], fours[r], 2), sixteens[r], 4);
          });
        }
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = vpadalq_s16(total[r], ones[r]); });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(total[0], total[1], total[2], total[3]), sum);
      rows.put(i, s, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride,
                                        const int32_t* sums, int32_t* y, size_t ldy) {
    int32x4_t total[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = vdupq_n_s32(0); });
    });
    for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
      const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
      int16x8_t a[T][4];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = vdupq_n_s16(0); });
      });
      for (size_t b = b0; b < b1; b++) {
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
              unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = multiply_add(a[t][r], w[r], v); });
            });
          });
        }
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = vpadalq_s16(total[t][r], a[t][r]); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      keep4(y + t * ldy, sum4(total[t][0], total[t][1], total[t][2], total[t][3]), sums[t]);
    });
  }
};

}  // namespace

extern const TernaryKernel kNeonI2s = {
    "neon-i2s", "i2s", "neon",
    "2-bit codes with smlal into int16, widened to int32 before it can overflow: any ARMv8 CPU.",
    kNeon, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<Neon>, nullptr, nullptr, false,
    row_gemv_rows<Neon>,
};

}  // namespace bitnet
