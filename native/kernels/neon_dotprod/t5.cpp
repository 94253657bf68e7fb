// neon-dotprod-t5: five weights a byte, decoded by tbl (neon/t5_decode.h: 9 operations per 80 weights) and multiplied by
// sdot. GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/neon_dotprod/byte_tile.h"
#include "kernels/neon/t5_dot_gemv.inl"

#include "kernels/registry.h"
#include "kernels/row_gemm.inl"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct NeonDotprod : RowByRow<t5::Layout, UnpackT5> {
  using Tile = SdotByteTile;
  static constexpr int kPackedTokens = 0;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    t5_dot_gemv(w, x, sum, rows, y);
  }
};

}  // namespace

extern const TernaryKernel kNeonDotprodT5 = {
    "neon-dotprod-t5", "t5", "neon-dotprod",
    "Five weights a byte (1.6 bits), decoded by tbl and multiplied by sdot: ARMv8.2 and later.",
    kNeon | kDotprod, t5::packed_bytes, t5::pack, byte_gemm_scratch, row_gemm<NeonDotprod>, nullptr, nullptr, false,
    row_gemv_rows<NeonDotprod>,
};

}  // namespace bitnet
