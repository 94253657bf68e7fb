// avx2-tl1: pairs looked up with pshufb, exact. Layout tl1::pack_rows; see tl1_rows.inl.
#include "kernels/avx2/tl1_rows.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Pairs, LutTableAvx2<0x80, 2>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx2Tl1 = {
    "avx2-tl1", "tl1", "avx2", "Pairs looked up with pshufb in tables of 9 exact sums, 16 rows x 2 pairs at a time.",
    kAvx2Level, tl1::packed_bytes, tl1::pack_rows, lut_no_scratch, lut_gemm<Avx2Rows<Pairs>>, tl1::table_bytes,
    build_table,
};

}  // namespace bitnet
