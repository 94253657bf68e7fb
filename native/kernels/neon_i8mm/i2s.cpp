// neon-i8mm-i2s: I2_S with usdot (u8 x s8 dot product) and usmmla (2x8 by 8x2 products, 32 multiply-adds).
//
// GEMV, per 16 bytes of a row (64 weights): 1 load, 4 and, 4 usdot. Codes are unsigned here, so all four fields are
// multiplied in place with the factors 1, 4, 16, 64, and no shift competes for the one or two pipes that shift; 16
// accumulators for four rows, which share four activation registers. 0.125 vector operations and 0.03 loads a weight.
// GEMM: an accumulator holds 2 rows x 2 tokens. Unpacking stores row pairs interleaved by 8 columns, so a 16-byte load is
// an operand (unpack_row_pairs.inl). Small batches interleave the packed bytes instead: one zip serves four fields.
#include "kernels/neon_i8mm/unpack_row_pairs.inl"

#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

struct NeonI8mm {
  using Layout = i2s::Layout;
  using Tile = UsmmlaByteTile;
  static constexpr int kPackedTokens = Tile::kTokens;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const uint8x16_t m0 = vdupq_n_u8(0x03), m1 = vdupq_n_u8(0x0c), m2 = vdupq_n_u8(0x30), m3 = vdupq_n_u8(0xc0);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      int32x4_t a[4][4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { a[r][f] = vdupq_n_s32(0); });
      });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * 256;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
        unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
          no_loads_ahead();
          const int8x16_t x0 = vld1q_s8(xb + 16 * j), x1 = vld1q_s8(xb + 64 + 16 * j),
                          x2 = vld1q_s8(xb + 128 + 16 * j), x3 = vld1q_s8(xb + 192 + 16 * j);
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            no_loads_ahead();
            const uint8x16_t v = vld1q_u8(four.row[r] + 64 * b + 16 * j);
            a[r][0] = vusdotq_s32(a[r][0], vandq_u8(v, m0), x0);
            a[r][1] = vusdotq_s32(a[r][1], vandq_u8(v, m1), x1);
            a[r][2] = vusdotq_s32(a[r][2], vandq_u8(v, m2), x2);
            a[r][3] = vusdotq_s32(a[r][3], vandq_u8(v, m3), x3);
          });
        });
      }
      // Every lane of field f is a multiple of 4^f, so the shifts are exact.
      int32x4_t s[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        s[r] = vsraq_n_s32(vsraq_n_s32(vsraq_n_s32(a[r][0], a[r][1], 2), a[r][2], 4), a[r][3], 6);
      });
      alignas(16) int32_t sums[4];
      keep4(sums, sum4(s[0], s[1], s[2], s[3]), sum);
      rows.put(i, sums, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride,
                                        const int32_t* sums, int32_t* y, size_t ldy) {
    Sums<T> total;
    total.clear();
    for (size_t b = 0; b < blocks; b++) {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
      for (size_t j = 0; j < 64; j += 16) {
        uint8x16_t low[2], high[2];
        unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
          const uint8x16_t v0 = vld1q_u8(four.row[2 * h] + 64 * b + j), v1 = vld1q_u8(four.row[2 * h + 1] + 64 * b + j);
          low[h] = zip_low(v0, v1);
          high[h] = zip_high(v0, v1);
        });
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
          constexpr int F = decltype(f)::value;
          const uint8x16_t codes_low[2] = {field<F>(low[0]), field<F>(low[1])};
          const uint8x16_t codes_high[2] = {field<F>(high[0]), field<F>(high[1])};
          total.add(codes_low, codes_high, x + b * 256 + 64 * F + j, stride);
        });
      }
    }
    total.store(sums, y, ldy, true);
  }

  static BITNET_INLINE void unpack(const uint8_t* row, size_t row_bytes, uint8_t* bytes, size_t stride, size_t blocks) {
    unpack_row_pairs<Layout>(row, row_bytes, bytes, stride, blocks,
                             [](uint8x16_t low, uint8x16_t high, uint8_t* out) BITNET_INLINE_LAMBDA {
                               unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
                                 vst1q_u8(out + 128 * f, field<decltype(f)::value>(low));
                                 vst1q_u8(out + 128 * f + 16, field<decltype(f)::value>(high));
                               });
                             });
  }
};

}  // namespace

extern const TernaryKernel kNeonI8mmI2s = {
    "neon-i8mm-i2s", "i2s", "neon-i8mm",
    "2-bit codes with usdot in decode and usmmla (2x2 tiles, 32 multiply-adds an instruction) in batches: ARMv8.6.",
    kNeon | kDotprod | kI8mm, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<NeonI8mm>, nullptr, nullptr, true,
    row_gemv_rows<NeonI8mm>,
};

}  // namespace bitnet
