// neon-tl2: triples looked up with tbl, exact, 1.67 bits a weight. Layout tl2::pack_rows; see tmac_quads.inl.
#include "kernels/neon/tmac_quads.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Triples, LutTableNeon>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kNeonTl2 = {
    "neon-tl2", "tl2", "neon",
    "Triples looked up with tbl in tables of 14 exact sums, then given their sign: 1.67 bits a weight.",
    kNeon, tl2::packed_bytes, tl2::pack_rows, lut_no_scratch, lut_gemm<NeonQuads<Triples, 1>>, tl2::table_bytes,
    build_table,
};

}  // namespace bitnet
