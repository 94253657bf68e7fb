// scalar-tl2: the specification of TL2. A triple of weights is v = 9a + 3b + c: an index |v| into the triple's table of
// 14 sums, and a sign. Layout: tl2::pack_rows in tmac_lut.h. One look-up for three weights.
#include "kernels/registry.h"
#include "kernels/scalar/tmac_table.h"

namespace bitnet {
namespace {

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void*) {
  const size_t blocks = lut_blocks<Triples>(w.columns);
  for (size_t t = 0; t < x.count; t++) {
    const LutTable table = lut_table<Triples, 1>(x.tables, tl2::table_bytes(w.columns), t, blocks, 0, blocks);
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* tile = w.data + row / 16 * tl2_tile_bytes(w.columns) + 64;
      int32_t sum = 0;
      for (size_t g = 0; g < blocks * Triples::kGroups; g++) {
        const size_t block = g / 8, h = g / 4 % 2, nibble = g / 2 % 2, l = g % 2;
        const uint8_t* super = tile + block / 4 * 320;
        const uint8_t indices = super[64 * (block % 4) + 32 * h + 16 * l + row % 16];
        const int32_t entry = lut_entry(table, g, indices >> (4 * nibble) & 15);
        const uint8_t signs = super[256 + 32 * (block % 4 / 2) + 16 * l + row % 16];
        sum += signs << (4 * (block % 2) + 2 * h + nibble) & 0x80 ? -entry : entry;
      }
      y[t * ldy + row] = sum;
    }
  }
}

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Triples, LutTableScalar>(values, columns, table);
}

}  // namespace

extern const TernaryKernel kScalarTl2 = {
    "scalar-tl2", "tl2", "scalar",
    "Triples looked up in tables of 14 sums, with a sign, in plain C++: what the other TL2 kernels must equal.",
    0, tl2::packed_bytes, tl2::pack_rows, lut_no_scratch, gemm, tl2::table_bytes, build_table,
};

}  // namespace bitnet
