// avx2-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with pshufb. Layout::kWords; see
// tmac_planes.inl. Per group and two tiles about 20 more operations: widening the sums, zero points, scales.
#include "kernels/avx2/group_ymm.h"
#include "kernels/avx2/tmac_planes.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct Avx2Tmac : GroupYmm {
  template <int Planes>
  using PlanesOf = Avx2Planes<Planes>;
  static BITNET_INLINE void clear(Ymm (&total)[2]) { total[0] = total[1] = _mm256_setzero_si256(); }
  static BITNET_INLINE Ints ints(const Ymm (&total)[2]) { return {{total[0], total[1]}}; }
};

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableAvx2<0, 2>>(values, columns, table);
}

}  // namespace

extern const GroupKernel kAvx2TmacGroup = {
    "avx2-tmac-group", "tmac-group", "avx2",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with pshufb, exact within a group.",
    kAvx2Level, tmac_group::supports, tmac_group::packed_bytes, tmac_group::pack_words, tmac_group_scratch<Avx2Tmac>,
    tmac_group_gemm<Avx2Tmac>, tmac::table_bytes, build_table,
};

}  // namespace bitnet
