// avx2-t5: five weights a byte, decoded by pshufb (t5_decode.h: 21 operations per 160 weights) and multiplied by
// vpmaddubsw.
//
// GEMV, per 32 bytes of a row: 1 load, 21 operations, 5 vpmaddubsw with the activations as memory operands, 5 vpaddw;
// widened to int32 every six blocks: 6 * 2 * 5 * 512 = 30720. GEMM: bytes, then the tile of byte_tile.h.
// Decoding costs more than the multiplication: this kernel pays where memory is slow, not where it is fast.
#include "kernels/avx2/byte_tile.h"
#include "kernels/avx2/t5_decode.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct Avx2 : RowByRow<t5::Layout, UnpackT5> {
  using Tile = MaddubsByteTile;
  static constexpr int kPackedTokens = 0;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    constexpr size_t kFlushBlocks = 6;
    const size_t blocks = Layout::blocks(w.columns);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Ymm total[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = _mm256_setzero_si256(); });
      for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
        const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
        Ymm a[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = _mm256_setzero_si256(); });
        for (size_t b = b0; b < b1; b++) {
          const int8_t* xb = x + b * Layout::kBlockColumns;
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            prefetch(four.next[r] + b * 64);
            unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
              Ymm t[5];
              decode_t5(load(four.row[r] + b * 64 + 32 * h), t);
              unroll<5>([&](auto f) BITNET_INLINE_LAMBDA {
                a[r] = _mm256_add_epi16(a[r], _mm256_maddubs_epi16(t[f], load(xb + 64 * f + 32 * h)));
              });
            });
          });
        }
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = _mm256_add_epi32(total[r], widen(a[r])); });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(total[0], total[1], total[2], total[3]), sum);
      rows.put(i, s, y);
    }
  }
};

}  // namespace

extern const TernaryKernel kAvx2T5 = {
    "avx2-t5", "t5", "avx2", "Five weights a byte (1.6 bits), decoded by pshufb and multiplied by vpmaddubsw.",
    kAvx2Level, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<Avx2>, nullptr, nullptr, false,
    row_gemv_rows<Avx2>,
};

}  // namespace bitnet
