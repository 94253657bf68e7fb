// A batched product on tile registers, written once and instantiated per family.
//
// A panel of kPanelRows x kPanelColumns codes is unpacked into L2 (320 KiB) in the order that tiles want, and all tokens
// run over it, 32 at a time: their activations then come from L2 once and from L1 or L2 for the panel's other rows. Wide
// panels matter where the activations of a batch exceed L2: they are read once per panel.
//
// Family provides:
//   Layout                                       i2s::Layout or t5::Layout
//   kVector                                      the kernel of the same layout for small batches
//   unpack16(v, tiles, step)                     a block each of 16 rows, transposed, to its tiles, `step` bytes apart
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/avx512/zmm.h"
#include "kernels/kernel.h"
#include "kernels/row_layout.h"

namespace bitnet {
namespace {

constexpr size_t kTileTokens = 32;
constexpr size_t kTileRows = 32;
constexpr size_t kPanelRows = 128;
constexpr size_t kPanelColumns = 2560;  // whole blocks of 256 and of 320 columns
// Below this many tokens the AVX-512 kernel of the same layout is as fast or faster: a tile's codes must first be transposed
// and stored, which takes as long for one token as for 16. GMAC/s at 8, 12, 16 tokens, 2560 x 2560: 271, 369, 480 here and
// 302, 332, 252 there.
constexpr size_t kFewestTileTokens = 11;
constexpr size_t kTileScratchBytes = kPanelRows * kPanelColumns;

BITNET_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// The 16 dwords of 16 registers, transposed: v[i] becomes dword i of all of them.
BITNET_INLINE void transpose_dwords(Zmm v[16]) {
  Zmm a[16], b[16];
  unroll<8>([&](auto i) BITNET_INLINE_LAMBDA {
    a[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  });
  // b[4g + c]: dword c of each 128-bit lane, rows 4g .. 4g + 3.
  unroll<4>([&](auto g) BITNET_INLINE_LAMBDA {
    b[4 * g] = _mm512_unpacklo_epi64(a[4 * g], a[4 * g + 2]);
    b[4 * g + 1] = _mm512_unpackhi_epi64(a[4 * g], a[4 * g + 2]);
    b[4 * g + 2] = _mm512_unpacklo_epi64(a[4 * g + 1], a[4 * g + 3]);
    b[4 * g + 3] = _mm512_unpackhi_epi64(a[4 * g + 1], a[4 * g + 3]);
  });
  // Lane l of the four b[4g + c] makes v[4l + c].
  unroll<4>([&](auto c) BITNET_INLINE_LAMBDA {
    const Zmm low01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x44), high01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xee);
    const Zmm low23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x44), high23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xee);
    v[c] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    v[4 + c] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    v[8 + c] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    v[12 + c] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  });
}

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
  Family::unpack16(v, tiles, step);
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

// One batch of up to 32 tokens: each code is used once, so a block's tiles go no further than L1, and the sums of all
// columns stay in the tile registers.
template <class Family, bool TwoTokens, bool TwoRows>
BITNET_INLINE void tile_stream(const uint8_t* row, size_t blocks, size_t row_bytes, const int8_t* x, size_t stride,
                               const int32_t* start, int32_t* y, size_t ldy) {
  constexpr size_t kColumns = Family::Layout::kBlockColumns, kRows = TwoRows ? 32 : 16, kStep = kRows / 16 * kTileBytes;
  // Meanwhile the rows that come next are fetched, in the order in which they lie: 32 rows read abreast are more streams
  // than the hardware's prefetchers follow.
  const uint8_t* next = row + kRows * row_bytes;
  alignas(64) uint8_t tiles[2][kColumns / 64 * kStep];  // two, so that a block need not wait for the last one's reads
  const TileTarget c{start, 16, 0, y, ldy};
  load_sums<TwoTokens, TwoRows>(c);
  for (size_t b = 0; b < blocks; b++, x += kColumns) {
    uint8_t* out = tiles[b % 2];
    const uint8_t* block = row + b * kBlockBytes;
    unpack_block16<Family>(block, row_bytes, {next, kBlockBytes}, out, kStep);
    next += 16 * kBlockBytes;
    if constexpr (TwoRows) {
      unpack_block16<Family>(block + 16 * row_bytes, row_bytes, {next, kBlockBytes}, out + kTileBytes, kStep);
      next += 16 * kBlockBytes;
    }
    settle_memory();
    multiply_tiles<TwoTokens, TwoRows>(x, stride, out, kColumns / 64);
  }
  store_sums<TwoTokens, TwoRows>(c);
}

template <class Family, bool TwoTokens>
BITNET_INLINE void tile_gemm_few(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
                                 size_t row_end) {
  const size_t blocks = Family::Layout::blocks(w.columns), row_bytes = Family::Layout::row_bytes(w.columns);
  alignas(64) int32_t start[kTileTokens * 16];
  for (size_t i = 0; i < x.count; i++) _mm512_store_si512(start + 16 * i, _mm512_set1_epi32(-x.sums[i]));
  configure_tiles(smaller(x.count, 16), x.count > 16 ? x.count - 16 : 16);
  settle_memory();
  size_t row = row_begin;
  for (; row + kTileRows <= row_end; row += kTileRows) {
    tile_stream<Family, TwoTokens, true>(w.data + row * row_bytes, blocks, row_bytes, x.values, x.stride, start, y + row, ldy);
  }
  if (row < row_end) {
    tile_stream<Family, TwoTokens, false>(w.data + row * row_bytes, blocks, row_bytes, x.values, x.stride, start, y + row, ldy);
  }
  _tile_release();
}

template <class Family>
BITNET_INLINE void tile_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
                             size_t row_end, void* scratch) {
  auto* tiles = static_cast<uint8_t*>(scratch);
  row_end = round_up(row_end, kRowTile);
  if (x.count <= 16) return tile_gemm_few<Family, false>(w, x, y, ldy, row_begin, row_end);
  if (x.count <= kTileTokens) return tile_gemm_few<Family, true>(w, x, y, ldy, row_begin, row_end);
  const size_t padded = Family::Layout::blocks(w.columns) * Family::Layout::kBlockColumns;
  const size_t whole = x.count / kTileTokens * kTileTokens, rest = x.count - whole;
  for (size_t row = row_begin; row < row_end; row += kPanelRows) {
    const size_t rows = smaller(kPanelRows, row_end - row);
    for (size_t k = 0; k < padded; k += kPanelColumns) {
      const size_t columns = smaller(kPanelColumns, padded - k);
      unpack_tiles<Family>(w, row, rows, k, columns, tiles);
      // Codes are w + 1: the sums start from minus the activations' sums. Further panels go on from what is in y.
      alignas(64) int32_t start[kTileTokens * 16];
      auto run = [&](size_t t, size_t tokens) BITNET_INLINE_LAMBDA {
        int32_t* out = y + t * ldy + row;
        TileTarget target{out, ldy, 16, out, ldy};
        if (k == 0) {
          for (size_t i = 0; i < tokens; i++) _mm512_store_si512(start + 16 * i, _mm512_set1_epi32(-x.sums[t + i]));
          target = {start, 16, 0, out, ldy};
        }
        if (tokens > 16) {
          tile_rows<true>(x.values + t * x.stride + k, x.stride, tiles, rows, columns, target);
        } else {
          tile_rows<false>(x.values + t * x.stride + k, x.stride, tiles, rows, columns, target);
        }
      };
      if (whole) {
        configure_tiles(16, 16);
        for (size_t t = 0; t < whole; t += kTileTokens) run(t, kTileTokens);
      }
      if (rest) {
        configure_tiles(smaller(rest, 16), rest > 16 ? rest - 16 : 16);
        run(whole, rest);
      }
    }
  }
  _tile_release();
}

// ---- The members of a TernaryKernel. Family::kVector is the AVX-512 kernel of the same layout.
template <class Family>
void amx_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void* scratch) {
  if (x.count < kFewestTileTokens) return Family::kVector.gemm(w, x, y, ldy, row_begin, row_end, scratch);
  tile_gemm<Family>(w, x, y, ldy, row_begin, row_end, scratch);
}

template <class Family>
void amx_gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  Family::kVector.gemv_rows(w, x, rows, count, y);
}

template <class Family>
size_t amx_scratch_bytes(size_t columns) {
  const size_t few = Family::kVector.scratch_bytes(columns);
  return few > kTileScratchBytes ? few : kTileScratchBytes;
}

}  // namespace
}  // namespace bitnet
