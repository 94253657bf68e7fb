// avx-vnni-t5: five weights a byte, decoded by pshufb (t5_decode.h: 21 operations per 160 weights) and multiplied by
// vpdpbusd on 32-byte registers.
//
// GEMV, per 32 bytes of a row: 1 load, 21 operations, 5 vpdpbusd with the activations as memory operands.
// GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/avx2/t5_decode.h"
#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct AvxVnni : RowByRow<t5::Layout, UnpackT5> {
  using Tile = VnniByteTile;
  static constexpr int kPackedTokens = 0;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Ymm a[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = _mm256_setzero_si256(); });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * Layout::kBlockColumns;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          prefetch(four.next[r] + b * 64);
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            Ymm t[5];
            decode_t5(load(four.row[r] + b * 64 + 32 * h), t);
            unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { dot(a[r], t[f], load(xb + 64 * f + 32 * h)); });
          });
        });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(a[0], a[1], a[2], a[3]), sum);
      rows.put(i, s, y);
    }
  }
};

}  // namespace

extern const TernaryKernel kAvxVnniT5 = {
    "avx-vnni-t5", "t5", "avx-vnni",
    "Five weights a byte (1.6 bits), decoded by pshufb and multiplied by vpdpbusd on 32-byte registers.",
    kAvx2Level | kAvxVnni, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<AvxVnni>, nullptr, nullptr, false,
    row_gemv_rows<AvxVnni>,
};

}  // namespace bitnet
