// neon-tl1: pairs looked up with tbl, exact. Layout tl1::pack_rows; see tmac_quads.inl.
#include "kernels/neon/tmac_quads.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Pairs, LutTableNeon>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kNeonTl1 = {
    "neon-tl1", "tl1", "neon",
    "Pairs looked up with tbl in tables of 9 exact sums, 16 rows at a time.",
    kNeon, tl1::packed_bytes, tl1::pack_rows, lut_no_scratch, lut_gemm<NeonQuads<Pairs, 1>>, tl1::table_bytes,
    build_table,
};

}  // namespace bitnet
