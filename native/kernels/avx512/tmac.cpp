// avx512-vbmi-tmac2: ternary codes as two bit planes, looked up with vpermb, exact. Layout::kDwords; see tmac_planes.inl.
#include "kernels/avx512/tmac_planes.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableAvx2<0, 4>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx512VbmiTmac2 = {
    "avx512-vbmi-tmac2", "tmac", "avx512-vbmi",
    "Two bit planes of fours looked up with vpermb, weighted and added by vpdpbusd, exact.",
    kAvx512Level, tmac::packed_bytes2, tmac::pack2_dwords, lut_no_scratch, lut_gemm<Avx512Planes<2>>, tmac::table_bytes,
    build_table,
};

}  // namespace bitnet
