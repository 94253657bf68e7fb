// The blocking of an I2_S product, written once and instantiated per instruction set (include it from inside an ISA file).
//
// Isa provides, all over the g4 layout:
//   kTokens                         most tokens of a register tile
//   kRowLists, gemv                 one token, four rows at a time: from a RowGroup each (row_group.h), so that a list of
//                                   rows is served too; or, where false, gemv(w, x, sum, y, r0, r1) for a range only
//   tile_packed<T>(...)             T tokens x 4 rows, codes decoded in the loop (small batches)
//   unpack(group, bytes, stride, blocks, ahead)  four rows' blocks to one byte a code, in the order that Tile wants
//   Tile                            how unpacked codes are multiplied (byte_gemm.inl)
//
// Small batches decode in the loop: each code is used at most 2 * kTokens times, too few to pay for a pass through
// memory. Larger ones go by bytes.
#include "kernels/byte_gemm.inl"
#include "kernels/i2s_layout.h"
#include "kernels/row_group.h"

namespace bitnet {
namespace {

template <class Isa, int T>
BITNET_INLINE void packed_tile(const PackedMatrix& w, const Activations& x, size_t t, int32_t* y, size_t ldy, size_t row) {
  Isa::template tile_packed<T>(w.data + row / 4 * i2s::group_bytes(w.columns), i2s::blocks(w.columns),
                               x.values + t * x.stride, x.stride, x.sums + t, y + t * ldy + row, ldy, w.prefetch);
}

template <class Isa>
void i2s_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void* scratch) {
  row_end = round_up(row_end, kRowTile);
  if (x.count == 1) {
    if constexpr (Isa::kRowLists) {
      Isa::gemv(w, x.values, x.sums[0], y + row_begin, (row_end - row_begin) / 4,
                stream_rows(w, i2s::group_bytes(w.columns), row_begin));
    } else {
      Isa::gemv(w, x.values, x.sums[0], y, row_begin, row_end);
    }
    return;
  }
  if (x.count <= 2 * Isa::kTokens) {
    for (size_t row = row_begin; row < row_end; row += 4) {
      for (size_t t = 0; t < x.count;) {
        t += next_tile<Isa::kTokens>(x.count - t, [&](auto tokens) BITNET_INLINE_LAMBDA {
          packed_tile<Isa, decltype(tokens)::value>(w, x, t, y, ldy, row);
        });
      }
    }
    return;
  }
  byte_gemm<typename Isa::Tile>(
      x, i2s::blocks(w.columns) * i2s::kBlockColumns, y, ldy, row_begin, row_end, scratch,
      [&](size_t row, size_t column, size_t columns, uint8_t* bytes) BITNET_INLINE_LAMBDA {
        Isa::unpack(w.data + row / 4 * i2s::group_bytes(w.columns) + column / i2s::kBlockColumns * 256, bytes, kPanelStride,
                    columns / i2s::kBlockColumns, w.prefetch);
      });
}

// TernaryKernel::gemv_rows
template <class Isa>
void i2s_gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  Isa::gemv(w, x.values, x.sums[0], y, (count + 3) / 4, listed_rows(w, i2s::group_bytes(w.columns), rows, count));
}

}  // namespace
}  // namespace bitnet
