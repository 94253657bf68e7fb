// neon-i8mm-t5: five weights a byte, decoded by tbl (neon/t5_decode.h: 9 operations per 80 weights) and multiplied by sdot
// in decode, by usmmla (byte_tile.h) in batches. Unpacking zips the packed bytes of two rows, then decodes.
#include "kernels/neon_i8mm/unpack_row_pairs.inl"
#include "kernels/neon/t5_dot_gemv.inl"

#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct NeonI8mm {
  using Layout = t5::Layout;
  using Tile = UsmmlaByteTile;
  static constexpr int kPackedTokens = 0;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    t5_dot_gemv(w, x, sum, rows, y);
  }

  static BITNET_INLINE void unpack(const uint8_t* row, size_t row_bytes, uint8_t* bytes, size_t stride, size_t blocks) {
    const T5Decoder decoder;
    unpack_row_pairs<Layout>(row, row_bytes, bytes, stride, blocks,
                             [&](uint8x16_t low, uint8x16_t high, uint8_t* out) BITNET_INLINE_LAMBDA {
                               uint8x16_t l[5], h[5];
                               decoder.decode(low, l);
                               decoder.decode(high, h);
                               unroll<5>([&](auto f) BITNET_INLINE_LAMBDA {
                                 vst1q_u8(out + 128 * f, l[f]);
                                 vst1q_u8(out + 128 * f + 16, h[f]);
                               });
                             });
  }
};

}  // namespace

extern const TernaryKernel kNeonI8mmT5 = {
    "neon-i8mm-t5", "t5", "neon-i8mm",
    "Five weights a byte (1.6 bits), decoded by tbl, multiplied by sdot in decode and by usmmla in batches: ARMv8.6.",
    kNeon | kDotprod | kI8mm, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<NeonI8mm>, nullptr, nullptr, false,
    row_gemv_rows<NeonI8mm>,
};

}  // namespace bitnet
