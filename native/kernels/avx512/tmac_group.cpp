// avx512-vbmi-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with vpermb.
// Layout::kDwords; see tmac_planes.inl. A group's sums are one register a tile: its scales cost 5 operations.
#include "kernels/avx512/group_zmm.h"
#include "kernels/avx512/tmac_planes.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct Avx512Tmac : GroupZmm {
  template <int Planes>
  using PlanesOf = Avx512Planes<Planes>;
  static BITNET_INLINE void clear(Zmm& total) { total = _mm512_setzero_si512(); }
  static BITNET_INLINE Ints ints(Zmm total) { return total; }
};

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableAvx2<0, 4>>(values, columns, table);
}

}  // namespace

extern const GroupKernel kAvx512VbmiTmacGroup = {
    "avx512-vbmi-tmac-group", "tmac-group", "avx512-vbmi",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with vpermb, exact within a group.",
    kAvx512Level, tmac_group::supports, tmac_group::packed_bytes, tmac_group::pack_dwords, tmac_group_scratch<Avx512Tmac>,
    tmac_group_gemm<Avx512Tmac>, tmac::table_bytes, build_table,
};

}  // namespace bitnet
