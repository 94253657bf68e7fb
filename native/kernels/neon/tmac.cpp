// neon-tmac2: ternary codes as two bit planes, looked up with tbl, exact. Layout::kRows; see tmac_quads.inl.
#include "kernels/neon/tmac_quads.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableNeon>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kNeonTmac2 = {
    "neon-tmac2", "tmac", "neon",
    "Two bit planes of fours looked up with tbl in tables of 16 exact sums, 16 rows at a time.",
    kNeon, tmac::packed_bytes2, tmac::pack2_rows, lut_no_scratch, lut_gemm<NeonQuads<Fours, 2>>, tmac::table_bytes,
    build_table,
};

}  // namespace bitnet
