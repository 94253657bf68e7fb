// neon-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with tbl. Layout::kRows; see
// tmac_quads.inl.
#include "kernels/neon/group_qreg.h"
#include "kernels/neon/tmac_quads.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct NeonTmac : GroupQreg {
  using Table = LutTableNeon;
  template <int Planes>
  using PlanesOf = NeonQuads<Fours, Planes>;

  template <class Sums>
  static BITNET_INLINE void set(Sums& total, int32_t value) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { total.rows[i] = vdupq_n_s32(value); });
  }
  template <class Sums>
  static BITNET_INLINE Ints ints(const Sums& total) {
    return {{total.rows[0], total.rows[1], total.rows[2], total.rows[3]}};
  }
};

}  // namespace

extern const GroupKernel kNeonTmacGroup = tmac_group_kernel<NeonTmac>(
    "neon-tmac-group", "neon",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with tbl, exact within a group.", kNeon,
    tmac_group::pack_rows);

}  // namespace bitnet
