// A batched product by way of one byte a code, written once and instantiated per layout and instruction set (include it
// from inside an ISA file).
//
// kPanelRows x kPanelColumns codes are unpacked once into L2 (160 KiB) and blocks of tokens, whose activations fit into L1,
// run over them: four rows come from L2 once per block, not once per register tile. Partial sums over column panels are
// added in y. A small batch takes panels of four rows, which stay in L1: each code is used too few times to pay for more.
//
// Tile provides:
//   kTokens                most tokens of a register tile
//   tile_bytes<T>(...)     T tokens x 4 rows of unpacked codes
#include "kernels/inline.h"
#include "kernels/kernel.h"

namespace bitnet {
namespace {

constexpr size_t kPanelRows = 64;
constexpr size_t kPanelColumns = 2560;  // whole blocks of every layout: 256 and 320 codes
constexpr size_t kPanelStride = kPanelColumns + 64;  // one line off a power of two, so that rows don't share cache sets

// Calls f(integral_constant<T>) with the number of tokens of the next tile: full tiles, and a last one cut so that two
// small tiles never follow one another (7 = 4 + 3 rather than 6 + 1).
template <int Max, class F>
BITNET_INLINE size_t next_tile(size_t left, F&& f) {
  size_t t = left >= Max ? Max : left;
  if (left > Max && left < 2 * Max && left - Max < Max / 2) t = (left + 1) / 2;
  switch (t) {
    case 1: f(std::integral_constant<int, 1>{}); break;
    case 2: f(std::integral_constant<int, 2>{}); break;
    case 3: if constexpr (Max >= 3) f(std::integral_constant<int, 3>{}); break;
    case 4: if constexpr (Max >= 4) f(std::integral_constant<int, 4>{}); break;
    case 5: if constexpr (Max >= 5) f(std::integral_constant<int, 5>{}); break;
    case 6: if constexpr (Max >= 6) f(std::integral_constant<int, 6>{}); break;
    case 7: if constexpr (Max >= 7) f(std::integral_constant<int, 7>{}); break;
    default: if constexpr (Max >= 8) f(std::integral_constant<int, 8>{}); break;
  }
  return t;
}

// Tokens whose activations stay in L1 while all rows of a panel pass: 8 of 2560 columns beside four rows of codes, in whole
// tiles. A last tile of a few tokens joins the block before it.
template <int Max>
BITNET_INLINE size_t next_block(size_t left) {
  constexpr size_t kBlock = Max * (Max < 8 ? 8 / Max : 1);
  return left < kBlock + Max ? left : kBlock;
}

// A panel of codes times `tokens` tokens from t on, columns from k on.
template <class Tile>
BITNET_INLINE void byte_tiles(const uint8_t* panel, size_t rows, size_t columns, const Activations& x, size_t t,
                              size_t tokens, size_t k, int32_t* y, size_t ldy) {
  const int8_t* q = x.values + t * x.stride + k;
  for (size_t r = 0; r < rows; r += 4) {
    for (size_t i = 0; i < tokens;) {
      i += next_tile<Tile::kTokens>(tokens - i, [&](auto width) BITNET_INLINE_LAMBDA {
        Tile::template tile_bytes<decltype(width)::value>(panel + r * kPanelStride, kPanelStride, columns, q + i * x.stride,
                                                          x.stride, x.sums + t + i, y + i * ldy + r, ldy, k == 0);
      });
    }
  }
}

// unpack(row, column, columns, bytes): codes of rows row..row+3, `columns` of them from `column` on, to bytes
// [4][kPanelStride] in the order that the tile wants. `padded` is the number of columns that the layout stores.
template <class Tile, class Unpack>
BITNET_INLINE void byte_gemm(const Activations& x, size_t padded, int32_t* y, size_t ldy, size_t row_begin,
                             size_t row_end, void* scratch, Unpack&& unpack) {
  auto* panel = static_cast<uint8_t*>(scratch);
  const size_t panel_rows = x.count <= 2 * Tile::kTokens ? 4 : kPanelRows;
  for (size_t row = row_begin; row < row_end; row += panel_rows) {
    const size_t rows = smaller(panel_rows, row_end - row);
    for (size_t k = 0; k < padded; k += kPanelColumns) {
      const size_t columns = smaller(kPanelColumns, padded - k);
      for (size_t r = 0; r < rows; r += 4) unpack(row + r, k, columns, panel + r * kPanelStride);
      for (size_t t = 0; t < x.count;) {
        const size_t tokens = next_block<Tile::kTokens>(x.count - t);
        byte_tiles<Tile>(panel, rows, columns, x, t, tokens, k, y + t * ldy + row, ldy);
        t += tokens;
      }
    }
  }
}

inline size_t byte_gemm_scratch(size_t) { return kPanelRows * kPanelStride; }

}  // namespace
}  // namespace bitnet
