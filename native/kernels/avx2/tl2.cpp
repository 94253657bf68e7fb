// avx2-tl2: triples looked up with pshufb, exact, 1.67 bits a weight. Layout tl2::pack_rows; see tl1_rows.inl.
#include "kernels/avx2/tl1_rows.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Triples, LutTableAvx2<0x80, 2>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx2Tl2 = {
    "avx2-tl2", "tl2", "avx2",
    "Triples looked up with pshufb in tables of 14 exact sums, then given their sign: 1.67 bits a weight.",
    kAvx2Level, tl2::packed_bytes, tl2::pack_rows, lut_no_scratch, lut_gemm<Avx2Rows<Triples>>, tl2::table_bytes,
    build_table,
};

}  // namespace bitnet
