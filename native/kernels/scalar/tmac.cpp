// scalar-tmac2: the specification of the bit-plane product. Bit p of the codes of four weights is an index into the four's
// table of 16 sums, and counts 2^p times; code - 1 is the weight. An entry is the sum of the activations whose bit is set
// less half the sum of all four, rounded down, which is added again at the end: 2^planes - 1 times. Layout: Layout::kRows
// in tmac_lut.h. One look-up for four weights and plane.
#include "kernels/registry.h"
#include "kernels/scalar/tmac_table.h"

namespace bitnet {
namespace {

template <size_t Planes>
void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void*) {
  const size_t blocks = lut_blocks<Fours>(w.columns);
  for (size_t t = 0; t < x.count; t++) {
    const LutTable table = lut_table<Fours, 1>(x.tables, tmac::table_bytes(w.columns), t, blocks, 0, blocks);
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* tile = w.data + row / 16 * tmac_tile_bytes(w.columns, Planes);
      int32_t sum = 0;
      for (size_t g = 0; g < blocks * Fours::kGroups; g++) {
        const size_t block = g / 4, nibble = g / 2 % 2, l = g % 2;
        for (size_t p = 0; p < Planes; p++) {
          const uint8_t byte = tile[32 * (block * Planes + p) + 16 * l + row % 16];
          sum += lut_entry(table, g, byte >> (4 * nibble) & 15) * (1 << p);
        }
      }
      y[t * ldy + row] = sum + ((1 << Planes) - 1) * table.halves - x.sums[t];
    }
  }
}

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableScalar>(values, columns, table);
}

}  // namespace

extern const TernaryKernel kScalarTmac2 = {
    "scalar-tmac2", "tmac", "scalar",
    "Two bit planes of fours looked up in tables of 16 sums, in plain C++: what the other T-MAC kernels must equal.",
    0, tmac::packed_bytes2, tmac::pack2_rows, lut_no_scratch, gemm<2>, tmac::table_bytes, build_table,
};

}  // namespace bitnet
