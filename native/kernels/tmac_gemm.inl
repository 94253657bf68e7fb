// The blocking of a look-up product, written once and instantiated per instruction set (include it from an ISA file).
//
// Isa provides
//   Groups                                         Pairs, Triples or Fours
//   kTiles                                         tiles of 16 rows that share a table load in a GEMV
//   kBatchTiles, kBatchTokens                      tiles x tokens that share indices and tables in a GEMM
//   tile_bytes(columns)
//   run<R, T>(w, tile_bytes, blocks, tables, sums, y, ldy)    R tiles x T tokens
//
// A GEMM takes a few tiles, whose weights (a few dozen kilobytes) stay in L1 or L2, through all tokens before it goes on:
// weights are streamed once, tables come from L2 once per kBatchTiles tiles.
#include "kernels/inline.h"
#include "kernels/tmac_lut.h"

namespace bitnet {
namespace {

template <class Isa, int R, int T>
BITNET_INLINE void lut_tiles(const PackedMatrix& w, const Activations& x, size_t table_bytes, size_t blocks, int32_t* y,
                             size_t ldy, size_t row, size_t t) {
  LutTable tables[T];
  unroll<T>([&](auto i) BITNET_INLINE_LAMBDA {
    tables[i] = lut_table<typename Isa::Groups>(x.tables, table_bytes, t + i, blocks);
  });
  const size_t tile_bytes = Isa::tile_bytes(w.columns);
  Isa::template run<R, T>(w.data + row / 16 * tile_bytes, tile_bytes, blocks, tables, x.sums + t, y + t * ldy + row, ldy);
}

template <class Isa>
void lut_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void*) {
  const size_t blocks = lut_blocks<typename Isa::Groups>(w.columns);
  const size_t table_bytes = lut_table_bytes<typename Isa::Groups>(w.columns);
  const size_t end = (row_end + 15) / 16 * 16;
  size_t row = row_begin;
  if (x.count >= 2) {
    for (; row < end; row += 16 * Isa::kBatchTiles) {
      const bool full = end - row >= 16 * Isa::kBatchTiles;
      for (size_t t = 0; t < x.count;) {
        if (x.count - t < Isa::kBatchTokens) {
          if (full) {
            lut_tiles<Isa, Isa::kBatchTiles, 1>(w, x, table_bytes, blocks, y, ldy, row, t);
          } else {
            for (size_t r = row; r < end; r += 16) lut_tiles<Isa, 1, 1>(w, x, table_bytes, blocks, y, ldy, r, t);
          }
          t++;
          continue;
        }
        if (full) {
          lut_tiles<Isa, Isa::kBatchTiles, Isa::kBatchTokens>(w, x, table_bytes, blocks, y, ldy, row, t);
        } else {
          for (size_t r = row; r < end; r += 16) {
            lut_tiles<Isa, 1, Isa::kBatchTokens>(w, x, table_bytes, blocks, y, ldy, r, t);
          }
        }
        t += Isa::kBatchTokens;
      }
    }
    return;
  }
  for (; end - row >= 16 * Isa::kTiles; row += 16 * Isa::kTiles) {
    lut_tiles<Isa, Isa::kTiles, 1>(w, x, table_bytes, blocks, y, ldy, row, 0);
  }
  for (; row < end; row += 16) lut_tiles<Isa, 1, 1>(w, x, table_bytes, blocks, y, ldy, row, 0);
}

}  // namespace
}  // namespace bitnet
