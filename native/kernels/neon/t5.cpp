// neon-t5: five weights a byte, decoded by tbl (t5_decode.h: 9 operations per 80 weights) and multiplied by smlal, exact in
// 16 bits.
//
// GEMV, per 16 bytes of a row: 1 load, 9 operations, 10 smlal; five activation loads shared by four rows; widened to int32
// every three blocks: 3 * 4 * 5 * 2 = 120 of the 128 products that fit (byte_tile.h). GEMM: bytes, then that tile.
#include "kernels/neon/byte_tile.h"
#include "kernels/neon/t5_decode.h"

#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct Neon : RowByRow<t5::Layout, UnpackT5> {
  using Tile = SmlalByteTile;
  static constexpr int kPackedTokens = 0;
  static constexpr size_t kFlushBlocks = 3;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const T5Decoder decoder;
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      int32x4_t total[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = vdupq_n_s32(0); });
      for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
        const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
        int16x8_t a[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = vdupq_n_s16(0); });
        for (size_t b = b0; b < b1; b++) {
          const int8_t* xb = x + b * Layout::kBlockColumns;
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
          unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
            no_loads_ahead();
            int8x16_t v[5];
            unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { v[f] = vld1q_s8(xb + 64 * f + 16 * j); });
            unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
              uint8x16_t t[5];
              decoder.decode(vld1q_u8(four.row[r] + 64 * b + 16 * j), t);
              unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { a[r] = multiply_add(a[r], t[f], v[f]); });
            });
          });
        }
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = vpadalq_s16(total[r], a[r]); });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(total[0], total[1], total[2], total[3]), sum);
      rows.put(i, s, y);
    }
  }
};

}  // namespace

extern const TernaryKernel kNeonT5 = {
    "neon-t5", "t5", "neon", "Five weights a byte (1.6 bits), decoded by tbl and multiplied by smlal: any ARMv8 CPU.",
    kNeon, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<Neon>, nullptr, nullptr, false,
    row_gemv_rows<Neon>,
};

}  // namespace bitnet
