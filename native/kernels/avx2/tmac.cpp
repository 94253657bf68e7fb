// avx2-tmac2: ternary codes as two bit planes, looked up with pshufb, exact. Layout::kWords; see tmac_planes.inl.
#include "kernels/avx2/tmac_planes.inl"
#include "kernels/registry.h"

namespace bitnet {
namespace {
void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableAvx2<0, 2>>(values, columns, table);
}
}  // namespace

extern const TernaryKernel kAvx2Tmac2 = {
    "avx2-tmac2", "tmac", "avx2", "Two bit planes of fours looked up with pshufb, combined by vpmaddubsw, exact.",
    kAvx2Level, tmac::packed_bytes2, tmac::pack2_words, lut_no_scratch, lut_gemm<Avx2Planes<2>>, tmac::table_bytes,
    build_table,
};

}  // namespace bitnet
