// avx512-vbmi-tl1: pairs looked up with vpermb, exact. Layout tl1::pack_dwords; see tl1_dwords.inl.
#include "kernels/avx512/tl1_dwords.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Pairs, LutTableAvx2<0, 4>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx512VbmiTl1 = {
    "avx512-vbmi-tl1", "tl1", "avx512-vbmi",
    "Pairs looked up with vpermb, 16 rows x 4 pairs at a time, and added by vpdpbusd.",
    kAvx512Level, tl1::packed_bytes, tl1::pack_dwords, lut_no_scratch, lut_gemm<Avx512Dwords<Pairs>>, tl1::table_bytes,
    build_table,
};

}  // namespace bitnet
