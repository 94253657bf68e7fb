// amx-columns: batches of matrices stored by input on tile registers; single tokens and small batches as avx512-columns.
//
// A block of 320 rows is unpacked already in the order that tiles want, without the transposition of 64 shuffles that rows
// need: 1280 columns at a time (400 KiB, in L2) for many tokens, fewer for up to 32, whose sums then move between panels as
// tiles one behind the other.
#include "kernels/amx/tiles.h"
#include "kernels/avx512/columns_zmm.h"

namespace bitnet {
namespace {

constexpr size_t kColumnsAtOnce = 1280, kFewColumnsAtOnce = 512;
constexpr size_t kFewestTokens = 11;  // below, broadcast dot products are as fast
constexpr size_t kTileSums = 256;

// Rows of a panel times a tile of tokens, or two.
template <bool TwoTokens>
BITNET_INLINE void multiply_many(const int8_t* x, size_t stride, const uint8_t* panel, size_t group_bytes, size_t rows,
                                 size_t columns, TileTarget c) {
  for (size_t r = 0; r < rows; r += kColumnGroupRows, panel += group_bytes) {
    tile_product<TwoTokens, true>(x, stride, panel, columns / 64, c);
    c.y += kColumnGroupRows;
    if (c.start_right) c.start += kColumnGroupRows;
  }
}

// Up to 16 tokens leave four accumulators for 64 rows: four independent chains, and the activations are loaded once for all.
// `sums`: [tile of 16 rows][token][16].
BITNET_INLINE void multiply_16(const int8_t* x, size_t stride, const uint8_t* panel, size_t group_bytes, size_t rows,
                               size_t columns, int32_t* sums) {
  for (size_t r = 0; r < rows; r += 64, panel += 2 * group_bytes, sums += 4 * kTileSums) {
    settle_memory();
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, sums + kTileSums, 64);
    _tile_loadd(2, sums + 2 * kTileSums, 64);
    _tile_loadd(3, sums + 3 * kTileSums, 64);
    const uint8_t* codes = panel;
    for (size_t s = 0; s < columns / 64; s++, codes += 2 * kColumnTile) {
      _tile_loadd(4, x + 64 * s, stride);
      _tile_loadd(5, codes, 64);
      _tile_dpbsud(0, 4, 5);
      _tile_loadd(6, codes + kColumnTile, 64);
      _tile_dpbsud(1, 4, 6);
      _tile_loadd(7, codes + group_bytes, 64);
      _tile_dpbsud(2, 4, 7);
      _tile_loadd(5, codes + group_bytes + kColumnTile, 64);
      _tile_dpbsud(3, 4, 5);
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + kTileSums, 64);
    _tile_stored(2, sums + 2 * kTileSums, 64);
    _tile_stored(3, sums + 3 * kTileSums, 64);
    settle_memory();
  }
}

// Up to 32 tokens: 32 rows at a time. `sums`: [tile of 16 rows][token][16], 32 tokens.
BITNET_INLINE void multiply_32(const int8_t* x, size_t stride, const uint8_t* panel, size_t group_bytes, size_t rows,
                               size_t columns, int32_t* sums) {
  for (size_t r = 0; r < rows; r += kColumnGroupRows, panel += group_bytes, sums += 4 * kTileSums) {
    settle_memory();
    _tile_loadd(0, sums, 64);
    _tile_loadd(2, sums + kTileSums, 64);
    _tile_loadd(1, sums + 2 * kTileSums, 64);
    _tile_loadd(3, sums + 3 * kTileSums, 64);
    multiply_tiles<true, true>(x, stride, panel, columns / 64);
    _tile_stored(0, sums, 64);
    _tile_stored(2, sums + kTileSums, 64);
    _tile_stored(1, sums + 2 * kTileSums, 64);
    _tile_stored(3, sums + 3 * kTileSums, 64);
    settle_memory();
  }
}

void gemm_few(const PackedMatrix& w, const ColumnList& list, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
              size_t row_end, void* scratch) {
  constexpr size_t kGroupBytes = column_group_bytes(kFewColumnsAtOnce);
  auto* panel = static_cast<uint8_t*>(scratch);
  auto* sums = reinterpret_cast<int32_t*>(panel + column_panel_bytes(Avx512Columns::kFields, kFewColumnsAtOnce));
  const size_t tiles = (row_end - row_begin + kColumnFieldRows - 1) / kColumnFieldRows * 4, tokens = x.count > 16 ? 32 : 16;
  for (size_t tile = 0; tile < tiles; tile++) {
    for (size_t t = 0; t < x.count; t++) {
      _mm512_store_si512(sums + (tile * tokens + t) * 16, _mm512_set1_epi32(-x.sums[t]));
    }
  }
  if (x.count > 16) {
    configure_tiles(16, x.count - 16);
  } else {
    const size_t n = x.count;
    configure_tile_rows({n, n, n, n, n, 16, 16, 16});
  }
  each_panel<Avx512Columns>(w, list, row_begin, row_end, kFewColumnsAtOnce, kGroupBytes, panel,
                            [&](const uint8_t* codes, size_t k, size_t width, size_t row, size_t rows) BITNET_INLINE_LAMBDA {
    int32_t* c = sums + (row - row_begin) * tokens;
    if (x.count > 16) {
      multiply_32(x.values + k, x.stride, codes, kGroupBytes, rows, width, c);
    } else {
      multiply_16(x.values + k, x.stride, codes, kGroupBytes, rows, width, c);
    }
  });
  _tile_release();
  for (size_t t = 0; t < x.count; t++) {
    for (size_t tile = 0; tile < tiles; tile++) {
      _mm512_storeu_si512(y + t * ldy + row_begin + 16 * tile, load(sums + (tile * tokens + t) * 16));
    }
  }
}

void gemm(const PackedMatrix& w, const ColumnList& list, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
          size_t row_end, void* scratch) {
  if (x.count < kFewestTokens) return kAvx512Columns.gemm(w, list, x, y, ldy, row_begin, row_end, scratch);
  if (x.count <= kTileTokens) return gemm_few(w, list, x, y, ldy, row_begin, row_end, scratch);
  constexpr size_t kGroupBytes = column_group_bytes(kColumnsAtOnce);
  each_panel<Avx512Columns>(w, list, row_begin, row_end, kColumnsAtOnce, kGroupBytes, static_cast<uint8_t*>(scratch),
                            [&](const uint8_t* panel, size_t k, size_t width, size_t row, size_t rows) BITNET_INLINE_LAMBDA {
    each_token_tiles(x, y + row, ldy, k == 0, [&](size_t t, size_t tokens, const TileTarget& target) BITNET_INLINE_LAMBDA {
      const int8_t* values = x.values + t * x.stride + k;
      if (tokens > 16) {
        multiply_many<true>(values, x.stride, panel, kGroupBytes, rows, width, target);
      } else {
        multiply_many<false>(values, x.stride, panel, kGroupBytes, rows, width, target);
      }
    });
  });
  _tile_release();
}

void gemm_live(const PackedMatrix& w, const LiveInputs& live, const Activations& x, int32_t* y, size_t ldy, size_t block_begin,
               size_t block_end) {
  kAvx512Columns.gemm_live(w, live, x, y, ldy, block_begin, block_end);
}

size_t nonzero(const int8_t* values, size_t n, ColumnId* ids) { return kAvx512Columns.nonzero(values, n, ids); }

// A tile of tokens takes hardly more than unpacking does.
double gemm_cost(size_t tokens) { return tokens < kFewestTokens ? kAvx512Columns.gemm_cost(tokens) : Avx512Columns::kUnpackCost; }

size_t scratch_bytes(size_t rows) {
  const size_t few = column_panel_bytes(Avx512Columns::kFields, kFewColumnsAtOnce) + round_up(rows, kColumnFieldRows) * kTileTokens * 4;
  const size_t many = column_panel_bytes(Avx512Columns::kFields, kColumnsAtOnce);
  return few > many ? few : many;
}

}  // namespace

extern const ColumnKernel kAmxColumns = {"amx-columns", "amx-int8", kAmxLevel, Avx512Columns::kFields, nonzero, gemm_live, gemm,
                                         scratch_bytes, gemm_cost};

}  // namespace bitnet
