// avx2-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with pshufb. Layout::kWords; see
// tmac_planes.inl. Per group and tile 10 more operations: widening the sums, scales.
#include "kernels/avx2/group_ymm.h"
#include "kernels/avx2/tmac_planes.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct Avx2Tmac : GroupYmm {
  using Table = LutTableAvx2<0, 2>;
  template <int Planes>
  using PlanesOf = Avx2Planes<Planes>;
  static BITNET_INLINE void set(Ymm (&total)[2], int32_t value) { total[0] = total[1] = _mm256_set1_epi32(value); }
  static BITNET_INLINE Ints ints(const Ymm (&total)[2]) { return {{total[0], total[1]}}; }
};

}  // namespace

extern const GroupKernel kAvx2TmacGroup = tmac_group_kernel<Avx2Tmac>(
    "avx2-tmac-group", "avx2",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with pshufb, exact within a group.",
    kAvx2Level, tmac_group::pack_words);

}  // namespace bitnet
