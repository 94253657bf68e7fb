// neon-tmac-group: codes of 1 to 4 bits with a scale per group as bit planes, looked up with tbl. Layout::kRows; see
// tmac_quads.inl.
#include "kernels/neon/group_qreg.h"
#include "kernels/neon/tmac_quads.inl"
#include "kernels/tmac_group.inl"

namespace bitnet {
namespace {

struct NeonTmac : GroupQreg {
  template <int Planes>
  using PlanesOf = NeonQuads<Fours, Planes>;

  template <class Sums>
  static BITNET_INLINE void clear(Sums& total) {
    unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { total.rows[i] = vdupq_n_s32(0); });
  }
  template <class Sums>
  static BITNET_INLINE Ints ints(const Sums& total) {
    return {{total.rows[0], total.rows[1], total.rows[2], total.rows[3]}};
  }
};

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableNeon>(values, columns, table);
}

}  // namespace

extern const GroupKernel kNeonTmacGroup = {
    "neon-tmac-group", "tmac-group", "neon",
    "Codes of 1 to 4 bits with a scale per group: bit planes of fours looked up with tbl, exact within a group.",
    kNeon, tmac_group::supports, tmac_group::packed_bytes, tmac_group::pack_rows, tmac_group_scratch<NeonTmac>,
    tmac_group_gemm<NeonTmac>, tmac::table_bytes, build_table,
};

}  // namespace bitnet
