// The blocking of a dense 1.6-bit product (include it from inside an ISA file).
//
// Isa provides, over the layout of t5_layout.h:
//   Tile                                        how unpacked codes are multiplied (byte_gemm.inl)
//   kRowLists, gemv                             one token: see i2s_gemm.inl
//   unpack(group, bytes, stride, blocks, ahead) four rows' blocks to one byte a code, in the order that Tile wants
// Batches always go by bytes: a decode costs 8 to 21 operations per 320 weights of a register, too much to repeat for
// every tile of tokens.
#include "kernels/byte_gemm.inl"
#include "kernels/row_group.h"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

template <class Isa>
void t5_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
             void* scratch) {
  row_end = round_up(row_end, kRowTile);
  if (x.count == 1) {
    if constexpr (Isa::kRowLists) {
      Isa::gemv(w, x.values, x.sums[0], y + row_begin, (row_end - row_begin) / 4,
                stream_rows(w, t5::group_bytes(w.columns), row_begin));
    } else {
      Isa::gemv(w, x.values, x.sums[0], y, row_begin, row_end);
    }
    return;
  }
  byte_gemm<typename Isa::Tile>(
      x, t5::blocks(w.columns) * t5::kBlockColumns, y, ldy, row_begin, row_end, scratch,
      [&](size_t row, size_t column, size_t columns, uint8_t* bytes) BITNET_INLINE_LAMBDA {
        Isa::unpack(w.data + row / 4 * t5::group_bytes(w.columns) + column / t5::kBlockColumns * 256, bytes, kPanelStride,
                    columns / t5::kBlockColumns, w.prefetch);
      });
}

// TernaryKernel::gemv_rows
template <class Isa>
void t5_gemv_rows(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) {
  Isa::gemv(w, x.values, x.sums[0], y, (count + 3) / 4, listed_rows(w, t5::group_bytes(w.columns), rows, count));
}

}  // namespace
}  // namespace bitnet
