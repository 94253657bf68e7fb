// avx512-vbmi-t5: five weights a byte, decoded by vpermb.
//
// GEMV, per 64 bytes: 1 load, 1 prefetch, 8 operations to decode (t5_decode.h) and 5 vpdpbusd; t3 keeps its factor 64 in an
// accumulator of its own, undone once per row. Four rows share five activation registers.
// GEMM: small batches by packed_tile.h, larger ones by bytes (one more shift for t3) and the tile of zmm.h.
#include "kernels/avx512/packed_tile.h"
#include "kernels/avx512/t5_decode.h"

#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct UnpackT5 {
  T5Decoder decoder;

  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    Zmm t[5];
    decoder.unpack(load(block), t);
    unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_storeu_si512(out + 64 * f, t[f]); });
  }
};

struct Avx512 : RowByRow<t5::Layout, UnpackT5> {
  using Tile = ZmmByteTile;
  static constexpr int kPackedTokens = kPackedTileTokens;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const T5Decoder decoder;
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Zmm ones[4], sixtyfours[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = sixtyfours[r] = _mm512_setzero_si512(); });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * Layout::kBlockColumns;
        const Zmm x0 = load(xb), x1 = load(xb + 64), x2 = load(xb + 128), x3 = load(xb + 192), x4 = load(xb + 256);
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          Zmm t[5];
          prefetch(four.next[r] + b * 64);
          decoder.decode(load(four.row[r] + b * 64), t);
          dot(ones[r], t[0], x0);
          dot(ones[r], t[1], x1);
          dot(ones[r], t[2], x2);
          dot(sixtyfours[r], t[3], x3);
          dot(ones[r], t[4], x4);
        });
      }
      Zmm s[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        s[r] = _mm512_add_epi32(ones[r], _mm512_srai_epi32(sixtyfours[r], 6));
      });
      alignas(16) int32_t sums[4];
      keep4(sums, sum4(s[0], s[1], s[2], s[3]), sum);
      rows.put(i, sums, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride, const int32_t* sums,
                                        int32_t* y, size_t ldy) {
    packed_tile<T5Decoder, T>(four, blocks, x, stride, sums, y, ldy);
  }
};

}  // namespace

extern const TernaryKernel kAvx512VbmiT5 = {
    "avx512-vbmi-t5", "t5", "avx512-vbmi",
    "Five weights a byte (1.6 bits), decoded by byte permutes and multiplied by vpdpbusd on 64-byte registers.",
    kAvx512Level, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<Avx512>, nullptr, nullptr, false,
    row_gemv_rows<Avx512>,
};

}  // namespace bitnet
