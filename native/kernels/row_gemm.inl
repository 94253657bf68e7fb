// The blocking of a product over rows of 64-byte blocks (row_layout.h), written once and instantiated per layout and
// instruction set (include it from inside an ISA file).
//
// Isa provides:
//   Layout                          i2s::Layout or t5::Layout
//   gemv(w, x, sum, rows, y)        one token, four rows at a time, from StreamedRows or ListedRows (four_rows.h)
//   kPackedTokens, tile_packed<T>(four, blocks, x, stride, sums)
//                                   T tokens x 4 rows, codes decoded in the loop, sums[T][4] without the "- 1" of a code;
//                                   kPackedTokens is the most tokens of such a tile, 0 where there is none
//   unpack(row, row_bytes, bytes, stride, blocks)
//                                   four rows' blocks to one byte a code, in the order that Tile wants; see RowByRow
//   Tile                            how unpacked codes are multiplied (byte_gemm.inl)
// and, before this is included, prefetch(const uint8_t*).
//
// Small batches decode in the loop where that is cheap (i2s; t5 with AVX-512): each code is used at most 2 * kPackedTokens
// times, too few to pay for a pass through memory. Larger ones go by bytes, and so does t5 where decoding it costs 21
// operations a register, too much to repeat for every tile of tokens.
#include "kernels/byte_gemm.inl"
#include "kernels/four_rows.h"
#include "kernels/row_layout.h"

namespace bitnet {
namespace {

// Layout and unpack of an Isa that unpacks row by row, in natural order: UnpackBlock()(block, out). The same blocks of the
// four rows that follow are fetched meanwhile.
template <class RowLayout, class UnpackBlock>
struct RowByRow {
  using Layout = RowLayout;

  static BITNET_INLINE void unpack(const uint8_t* row, size_t row_bytes, uint8_t* bytes, size_t stride, size_t blocks) {
    const UnpackBlock unpack_block;
    for (size_t r = 0; r < 4; r++, row += row_bytes, bytes += stride) {
      for (size_t b = 0; b < blocks; b++) {
        prefetch(row + b * kBlockBytes + 4 * row_bytes);
        unpack_block(row + b * kBlockBytes, bytes + b * Layout::kBlockColumns);
      }
    }
  }
};

// Rows that all tiles of tokens pass before the next: their packed bytes stay in L1.
constexpr size_t kPackedRows = 16;

// Four neighbouring rows at a time, whose sums are neighbours too. Several tokens wait for arithmetic rather than for memory,
// so one stream is enough.
template <class Isa>
BITNET_INLINE void packed_tiles(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end) {
  const size_t blocks = Isa::Layout::blocks(w.columns), row_bytes = Isa::Layout::row_bytes(w.columns);
  for (size_t first = row_begin; first < row_end; first += kPackedRows) {
    const size_t last = smaller(row_end, first + kPackedRows);
    for (size_t t = 0; t < x.count;) {
      t += next_tile<Isa::kPackedTokens>(x.count - t, [&](auto tokens) BITNET_INLINE_LAMBDA {
        for (size_t row = first; row < last; row += 4) {
          FourRows four;
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            four.row[r] = w.data + (row + r) * row_bytes;
            four.next[r] = four.row[r] + kPackedRows * row_bytes;
          });
          Isa::template tile_packed<decltype(tokens)::value>(four, blocks, x.values + t * x.stride, x.stride, x.sums + t,
                                                             y + t * ldy + row, ldy);
        }
      });
    }
  }
}

// TernaryKernel::gemm
template <class Isa>
void row_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void* scratch) {
  using Layout = typename Isa::Layout;
  row_end = round_up(row_end, kRowTile);
  const size_t row_bytes = Layout::row_bytes(w.columns);
  if (x.count == 1) {
    Isa::gemv(w, x.values, x.sums[0], StreamedRows(w, row_bytes, row_begin, row_end - row_begin), y + row_begin);
    return;
  }
  if constexpr (Isa::kPackedTokens > 0) {
    if (x.count <= 2 * Isa::kPackedTokens) {
      packed_tiles<Isa>(w, x, y, ldy, row_begin, row_end);
      return;
    }
  }
  byte_gemm<typename Isa::Tile>(
      x, Layout::blocks(w.columns) * Layout::kBlockColumns, y, ldy, row_begin, row_end, scratch,
      [&](size_t row, size_t column, size_t columns, uint8_t* bytes) BITNET_INLINE_LAMBDA {
        Isa::unpack(w.data + row * row_bytes + column / Layout::kBlockColumns * kBlockBytes, row_bytes, bytes, kPanelStride,
                    columns / Layout::kBlockColumns);
      });
}

// TernaryKernel::gemv_rows
template <class Isa>
void row_gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  Isa::gemv(w, x.values, x.sums[0], ListedRows(w, Isa::Layout::row_bytes(w.columns), rows, count), y);
}

}  // namespace
}  // namespace bitnet
