// A batched product on tile registers, written once and instantiated per family: long batches. (Short ones: tile_stream.h.)
//
// A panel of kPanelRows x kPanelColumns codes is unpacked into L2 (320 KiB) in the order that tiles want, and all tokens
// run over it, 32 at a time: their activations then come from L2 once and from L1 or L2 for the panel's other rows. Wide
// panels matter where the activations of a batch exceed L2: they are read once per panel.
//
// Family provides:
//   Layout                                       i2s::Layout or t5::Layout
//   kVector                                      the kernel of the same layout for single tokens
//   kSteps                                       steps of 64 columns in a block
//   unpack(v, t)                                 a row's block to its kSteps registers of codes, in the order of columns
#pragma once

#include "kernels/amx/tile_stream.h"
#include "kernels/amx/tiles.h"
#include "kernels/kernel.h"
#include "kernels/row_layout.h"

namespace bitnet {
namespace {

constexpr size_t kTileRows = 32;
constexpr size_t kPanelRows = 128;
constexpr size_t kPanelColumns = 2560;  // whole blocks of 256 and of 320 columns
constexpr size_t kTileScratchBytes = kPanelRows * kPanelColumns;

// 16 lines to be fetched into L2 while a block of 16 rows is unpacked. (L1 holds the tiles; measured, fetching into it lost 5
// to 10 % of a batch of 16 or 32.)
struct NextLines {
  const uint8_t* first;
  size_t apart;
};

// A block each of 16 rows to its tiles, `step` bytes apart.
template <class Family>
BITNET_INLINE void unpack_block16(const uint8_t* block, size_t row_bytes, NextLines next, uint8_t* tiles, size_t step) {
  Zmm v[16];
  unroll<16>([&](auto r) BITNET_INLINE_LAMBDA {
    _mm_prefetch(reinterpret_cast<const char*>(next.first + r * next.apart), _MM_HINT_T1);
    v[r] = load(block + r * row_bytes);
  });
  transpose_dwords(v);
  const Family family;
  unroll<16>([&](auto i) BITNET_INLINE_LAMBDA {
    Zmm t[Family::kSteps];
    family.unpack(v[i], t);
    unroll<Family::kSteps>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_store_si512(tiles + f * step + 64 * i, t[f]); });
  });
}

// `rows` (a multiple of 16) of the matrix from `row` on, `columns` (whole blocks) from `column` on, to tiles: 32 rows
// after another, within them step by step of 64 columns, a tile or two each.
template <class Family>
BITNET_INLINE void unpack_tiles(const PackedMatrix& w, size_t row, size_t rows, size_t column, size_t columns,
                                uint8_t* tiles) {
  using Layout = typename Family::Layout;
  const size_t row_bytes = Layout::row_bytes(w.columns), blocks = columns / Layout::kBlockColumns;
  for (size_t r = 0; r < rows; r += 16) {
    const size_t step = rows - r / kTileRows * kTileRows >= kTileRows ? 2 * kTileBytes : kTileBytes;
    uint8_t* out = tiles + r / kTileRows * kTileRows * columns + r % kTileRows / 16 * kTileBytes;
    const uint8_t* block = w.data + (row + r) * row_bytes + column / Layout::kBlockColumns * kBlockBytes;
    // Of whole rows, those that come next are fetched in the order in which they lie.
    const bool whole = blocks * kBlockBytes == row_bytes;
    NextLines next{block + 16 * row_bytes, whole ? kBlockBytes : row_bytes};
    for (size_t b = 0; b < blocks; b++, block += kBlockBytes, out += Layout::kBlockColumns / 64 * step) {
      unpack_block16<Family>(block, row_bytes, next, out, step);
      next.first += whole ? 16 * kBlockBytes : kBlockBytes;
    }
  }
}

template <bool TwoTokens>
BITNET_INLINE void tile_rows(const int8_t* x, size_t stride, const uint8_t* tiles, size_t rows, size_t columns,
                             TileTarget c) {
  size_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) {
    tile_product<TwoTokens, true>(x, stride, tiles + r * columns, columns / 64, c);
    c.y += kTileRows;
    if (c.start_right) c.start += kTileRows;
  }
  if (r < rows) tile_product<TwoTokens, false>(x, stride, tiles + r * columns, columns / 64, c);
}

template <class Family>
BITNET_INLINE void tile_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
                             size_t row_end, void* scratch) {
  auto* tiles = static_cast<uint8_t*>(scratch);
  row_end = round_up(row_end, kRowTile);
  const size_t padded = Family::Layout::blocks(w.columns) * Family::Layout::kBlockColumns;
  for (size_t row = row_begin; row < row_end; row += kPanelRows) {
    const size_t rows = smaller(kPanelRows, row_end - row);
    for (size_t k = 0; k < padded; k += kPanelColumns) {
      const size_t columns = smaller(kPanelColumns, padded - k);
      unpack_tiles<Family>(w, row, rows, k, columns, tiles);
      each_token_tiles(x, y + row, ldy, k == 0, [&](size_t t, size_t tokens, const TileTarget& target) BITNET_INLINE_LAMBDA {
        const int8_t* values = x.values + t * x.stride + k;
        if (tokens > 16) {
          tile_rows<true>(values, x.stride, tiles, rows, columns, target);
        } else {
          tile_rows<false>(values, x.stride, tiles, rows, columns, target);
        }
      });
    }
  }
  _tile_release();
}

// TernaryKernel::sparse_batch_share: a batch's product costs little more than one token's here, which is 2 of gemv_rows' for a
// row whether 8 or 16 tokens want it.
constexpr double kSparseBatchShare = 0.1;

// ---- The members of a TernaryKernel. Family::kVector is the AVX-512 kernel of the same layout.
template <class Family>
void amx_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void* scratch) {
  if (x.count < kFewestTileTokens) return Family::kVector.gemm(w, x, y, ldy, row_begin, row_end, scratch);
  if (x.count <= kMostStreamedTokens) return stream_gemm<Family>(w, x, y, ldy, row_begin, row_end, scratch);
  tile_gemm<Family>(w, x, y, ldy, row_begin, row_end, scratch);
}

template <class Family>
void amx_gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  Family::kVector.gemv_rows(w, x, rows, count, y);
}

template <class Family>
size_t amx_scratch_bytes(size_t columns) {
  const size_t few = larger(Family::kVector.scratch_bytes(columns), stream_scratch_bytes<Family>(columns));
  return larger(few, kTileScratchBytes);
}

}  // namespace
}  // namespace bitnet
