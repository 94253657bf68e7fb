// amx-columns: batches of matrices stored by input on tile registers; single tokens and small batches as avx512-columns.
//
// A block of 320 rows x 1280 columns is unpacked into L2 (400 KiB), already in the order that tiles want: without the
// transposition of 64 shuffles that rows need.
#include "kernels/amx/tiles.h"
#include "kernels/avx512/columns_zmm.h"

namespace bitnet {
namespace {

constexpr size_t kTokens = 32;         // two tiles
constexpr size_t kColumnsAtOnce = 1280;
constexpr size_t kFewestTokens = 11;   // below, broadcast dot products are as fast
constexpr size_t kGroupBytes = column_group_bytes(kColumnsAtOnce);

template <bool TwoTokens>
BITNET_INLINE void multiply_rows(const int8_t* x, size_t stride, const uint8_t* panel, size_t rows, size_t columns,
                                 TileTarget c) {
  for (size_t r = 0; r < rows; r += kColumnGroupRows, panel += kGroupBytes) {
    tile_product<TwoTokens, true>(x, stride, panel, columns / 64, c);
    c.y += kColumnGroupRows;
    if (c.start_right) c.start += kColumnGroupRows;
  }
}

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void* scratch) {
  if (x.count < kFewestTokens) return kAvx512Columns.gemm(w, x, y, ldy, row_begin, row_end, scratch);
  auto* panel = static_cast<uint8_t*>(scratch);
  const size_t whole = x.count / kTokens * kTokens, rest = x.count - whole;
  each_block_part<Avx512Columns>(row_begin, row_end, [&](size_t block, size_t first, size_t last, size_t row) BITNET_INLINE_LAMBDA {
    const size_t rows = (last - first) * kColumnFieldRows;
    for (size_t k = 0; k < w.columns; k += kColumnsAtOnce) {
      const size_t width = min_size(kColumnsAtOnce, (w.columns - k + 63) / 64 * 64);
      unpack_panel<Avx512Columns>(w, block, first, last, k, width, kGroupBytes, panel);
      // Codes are w + 1: the sums start from minus the activations' sums. Further panels go on from what is in y.
      alignas(64) int32_t start[kTokens * 16];
      auto run = [&](size_t t, size_t tokens) BITNET_INLINE_LAMBDA {
        int32_t* out = y + t * ldy + row;
        TileTarget target{out, ldy, 16, out, ldy};
        if (k == 0) {
          for (size_t i = 0; i < tokens; i++) _mm512_store_si512(start + 16 * i, _mm512_set1_epi32(-x.sums[t + i]));
          target = {start, 16, 0, out, ldy};
        }
        if (tokens > 16) {
          multiply_rows<true>(x.values + t * x.stride + k, x.stride, panel, rows, width, target);
        } else {
          multiply_rows<false>(x.values + t * x.stride + k, x.stride, panel, rows, width, target);
        }
      };
      if (whole) {
        configure_tiles(16, 16);
        for (size_t t = 0; t < whole; t += kTokens) run(t, kTokens);
      }
      if (rest) {
        configure_tiles(min_size(rest, 16), rest > 16 ? rest - 16 : 16);
        run(whole, rest);
      }
    }
  });
  _tile_release();
}

void gemv(const uint8_t* packed, size_t rows, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
          size_t block_begin, size_t block_end) {
  kAvx512Columns.gemv(packed, rows, values, ids, count, y, block_begin, block_end);
}

size_t nonzero(const int8_t* values, size_t n, int32_t* ids) { return kAvx512Columns.nonzero(values, n, ids); }

}  // namespace

extern const ColumnKernel kAmxColumns = {"amx-columns", "amx-int8", kAmxLevel, Avx512Columns::kFields, nonzero, gemv, gemm,
                                         column_panel_bytes(Avx512Columns::kFields, kColumnsAtOnce)};

}  // namespace bitnet
