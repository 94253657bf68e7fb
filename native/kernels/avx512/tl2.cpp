// avx512-vbmi-tl2: triples looked up with vpermb, exact, 1.67 bits a weight. Layout tl2::pack_dwords; see tl1_dwords.inl.
#include "kernels/avx512/tl1_dwords.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Triples, LutTableAvx2<0, 4>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx512VbmiTl2 = {
    "avx512-vbmi-tl2", "tl2", "avx512-vbmi",
    "Triples looked up with vpermb, signed under a mask and added by vpdpbusd: 1.67 bits a weight.",
    kAvx512Level, tl2::packed_bytes, tl2::pack_dwords, lut_no_scratch, lut_gemm<Avx512Dwords<Triples>>, tl2::table_bytes,
    build_table,
};

}  // namespace bitnet
