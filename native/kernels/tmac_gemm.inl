// The blocking of a look-up product, written once and instantiated per instruction set (include it from an ISA file).
//
// Isa provides
//   Groups                                   Pairs, Triples or Fours
//   kUnit                                    groups of a table's unit (tmac_lut.h)
//   kTiles                                   tiles of 16 rows that share a table load in a GEMV
//   kBatchTiles, kBatchTokens                tiles x tokens that share indices and tables in a GEMM
//   tile_bytes(columns)
//   run<R, T>(w, tile_bytes, first, last, tables, sums, y, ldy)
//                                            R tiles x T tokens over blocks first to last: sets y where first is 0, else
//                                            adds to it
//
// A GEMV streams a few tiles at a time over all columns. A GEMM takes a panel of rows and a chunk of columns, whose
// weights stay in L2, through all tokens before it goes on, so that weights are streamed once; a chunk's tables stay in
// L1 for all rows of the panel (7.5 KiB of low parts a token, as much again where high parts are dense).
#pragma once

#include "kernels/inline.h"
#include "kernels/tmac_lut.h"

namespace bitnet {
namespace {

constexpr size_t kLutPanelRows = 256;
// Groups of a chunk of columns: 60 or 120 blocks, a multiple of all flush intervals, or nearly.
constexpr size_t kLutChunkGroups = 480;

template <class Isa, int R, int T>
BITNET_INLINE void lut_tiles(const PackedMatrix& w, const Activations& x, size_t first, size_t last,
                             const LutTable* tables, int32_t* y, size_t ldy, size_t row, size_t t) {
  const size_t tile_bytes = Isa::tile_bytes(w.columns);
  Isa::template run<R, T>(w.data + row / 16 * tile_bytes, tile_bytes, first, last, tables, x.sums + t,
                          y + t * ldy + row, ldy);
}

// T tokens through rows r0 to r1 of a chunk, R tiles at a time.
template <class Isa, int R, int T>
BITNET_INLINE void lut_rows(const PackedMatrix& w, const Activations& x, size_t first, size_t last, int32_t* y,
                            size_t ldy, size_t r0, size_t r1, size_t t) {
  using Groups = typename Isa::Groups;
  LutTable tables[T];
  unroll<T>([&](auto i) BITNET_INLINE_LAMBDA {
    tables[i] = lut_table<Groups, Isa::kUnit>(x.tables, lut_table_bytes<Groups>(w.columns), t + i,
                                              lut_blocks<Groups>(w.columns), first, last);
  });
  for (; r1 - r0 >= 16 * R; r0 += 16 * R) lut_tiles<Isa, R, T>(w, x, first, last, tables, y, ldy, r0, t);
  if constexpr (R > 1) {
    for (; r0 < r1; r0 += 16) lut_tiles<Isa, 1, T>(w, x, first, last, tables, y, ldy, r0, t);
  }
}

template <class Isa>
void lut_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void*) {
  constexpr size_t kChunk = kLutChunkGroups / Isa::Groups::kGroups;
  const size_t blocks = lut_blocks<typename Isa::Groups>(w.columns);
  const size_t end = (row_end + 15) / 16 * 16;
  if (x.count == 1) {
    lut_rows<Isa, Isa::kTiles, 1>(w, x, 0, blocks, y, ldy, row_begin, end, 0);
    return;
  }
  for (size_t row = row_begin; row < end; row += kLutPanelRows) {
    const size_t row_last = end - row < kLutPanelRows ? end : row + kLutPanelRows;
    for (size_t first = 0; first < blocks; first += kChunk) {
      const size_t last = blocks - first < kChunk ? blocks : first + kChunk;
      size_t t = 0;
      for (; x.count - t >= Isa::kBatchTokens; t += Isa::kBatchTokens) {
        lut_rows<Isa, Isa::kBatchTiles, Isa::kBatchTokens>(w, x, first, last, y, ldy, row, row_last, t);
      }
      for (; t < x.count; t++) lut_rows<Isa, Isa::kTiles, 1>(w, x, first, last, y, ldy, row, row_last, t);
    }
  }
}

}  // namespace
}  // namespace bitnet
