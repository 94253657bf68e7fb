// neon-dotprod-t5: five weights a byte, decoded by tbl (neon/t5_decode.h: 9 operations per 80 weights) and multiplied by
// sdot. GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/neon_dotprod/byte_tile.h"
#include "kernels/neon/t5_dot_gemv.inl"

#include "kernels/registry.h"
#include "kernels/t5_gemm.inl"

namespace bitnet {
namespace {

struct NeonDotprod {
  static constexpr bool kRowLists = false;
  using Tile = SdotByteTile;

  static void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t r0, size_t r1) {
    t5_dot_gemv(w, x, sum, y, r0, r1);
  }

  static BITNET_INLINE void unpack(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
    unpack_t5(group, bytes, stride, blocks, ahead);
  }
};

}  // namespace

extern const TernaryKernel kNeonDotprodT5 = {
    "neon-dotprod-t5", "t5", "neon-dotprod",
    "Five weights a byte (1.6 bits), decoded by tbl and multiplied by sdot: ARMv8.2 and later.",
    kNeon | kDotprod, t5::packed_bytes, t5::pack, byte_gemm_scratch, t5_gemm<NeonDotprod>, nullptr, nullptr,
};

}  // namespace bitnet
