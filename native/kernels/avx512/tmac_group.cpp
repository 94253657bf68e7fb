// avx512-vbmi-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with vpermb.
// Layout::kDwords; see tmac_planes.inl. A group's sums are one register a tile: its scales cost 4 operations.
#include "kernels/avx512/group_zmm.h"
#include "kernels/avx512/tmac_planes.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct Avx512Tmac : GroupZmm {
  using Table = LutTableAvx2<0, 4>;
  template <int Planes>
  using PlanesOf = Avx512Planes<Planes>;
  static BITNET_INLINE void set(Zmm& total, int32_t value) { total = _mm512_set1_epi32(value); }
  static BITNET_INLINE Ints ints(Zmm total) { return total; }
};

}  // namespace

extern const GroupKernel kAvx512VbmiTmacGroup = tmac_group_kernel<Avx512Tmac>(
    "avx512-vbmi-tmac-group", "avx512-vbmi",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with vpermb, exact within a group.",
    kAvx512Level, tmac_group::pack_dwords);

}  // namespace bitnet
