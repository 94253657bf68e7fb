// scalar-tl1: the specification of TL1. A pair of weights is an index 3a + b + 4 into the pair's table of 9 sums.
// Layout: tl1::pack_rows in tmac_lut.h. One look-up for two weights.
#include "kernels/registry.h"
#include "kernels/scalar/tmac_table.h"

namespace bitnet {
namespace {

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void*) {
  const size_t blocks = lut_blocks<Pairs>(w.columns);
  for (size_t t = 0; t < x.count; t++) {
    const LutTable table = lut_table<Pairs, 1>(x.tables, tl1::table_bytes(w.columns), t, blocks, 0, blocks);
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* tile = w.data + row / 16 * tl1_tile_bytes(w.columns);
      int32_t sum = 0;
      for (size_t g = 0; g < blocks * Pairs::kGroups; g++) {
        const size_t block = g / 8, h = g / 4 % 2, nibble = g / 2 % 2, l = g % 2;
        sum += lut_entry(table, g, tile[64 * block + 32 * h + 16 * l + row % 16] >> (4 * nibble) & 15);
      }
      y[t * ldy + row] = sum;
    }
  }
}

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Pairs, LutTableScalar>(values, columns, table);
}

}  // namespace

extern const TernaryKernel kScalarTl1 = {
    "scalar-tl1", "tl1", "scalar",
    "Pairs looked up in tables of 9 sums, in plain C++: what the other TL1 kernels must equal.",
    0, tl1::packed_bytes, tl1::pack_rows, lut_no_scratch, gemm, tl1::table_bytes, build_table,
};

}  // namespace bitnet
