// amx-int8-t5: batches of the dense 1.6-bit layout on tile registers (tile_gemm.h); single tokens as avx512-vbmi-t5, whose
// layout it shares.
//
// Unpacking a block of 16 rows (5,120 weights): 16 loads, 64 shuffles to transpose packed dwords, 16 x 9 operations to
// decode, 80 stores.
#include "kernels/amx/tile_gemm.h"
#include "kernels/avx512/t5_decode.h"
#include "kernels/registry.h"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct T5Tiles {
  static constexpr size_t kBlockColumns = t5::kBlockColumns;

  static BITNET_INLINE void unpack16(const uint8_t* block, size_t group_bytes, size_t ahead, uint8_t* tiles, size_t step) {
    Zmm v[16];
    load_block16(block, group_bytes, ahead, v);
    const T5Decoder decoder;
    unroll<16>([&](auto i) BITNET_INLINE_LAMBDA {
      Zmm t[5];
      decoder.decode(v[i], t);
      t[3] = _mm512_srli_epi16(t[3], 6);
      unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_store_si512(tiles + f * step + 64 * i, t[f]); });
    });
  }
};

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
          void* scratch) {
  if (x.count < kFewestTileTokens) return kAvx512VbmiT5.gemm(w, x, y, ldy, row_begin, row_end, scratch);
  tile_gemm<T5Tiles>(w, t5::blocks(w.columns) * t5::kBlockColumns, t5::group_bytes(w.columns), x, y, ldy, row_begin,
                     row_end, scratch);
}

void gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  kAvx512VbmiT5.gemv_rows(w, x, rows, count, y);
}

size_t scratch_bytes(size_t columns) {
  const size_t few = kAvx512VbmiT5.scratch_bytes(columns);
  return few > kTileScratchBytes ? few : kTileScratchBytes;
}

}  // namespace

extern const TernaryKernel kAmxT5 = {
    "amx-int8-t5", "t5", "amx-int8",
    "Five weights a byte (1.6 bits); batches as tiles on the matrix unit, single tokens as avx512-vbmi-t5.",
    kAmxLevel, t5::packed_bytes, t5::pack, scratch_bytes, gemm, nullptr, nullptr, false, gemv_rows, kPanelRows,
};

}  // namespace bitnet
