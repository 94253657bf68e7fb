// amx-int8-i2s: batches of I2_S on tile registers (tile_stream.h, tile_gemm.h); single tokens as avx512-vnni-i2s, whose
// layout it shares.
//
// Unpacking a block of 16 rows (4,096 weights): 16 loads, 48 shifts, 64 ANDs, 64 stores; for long batches also 64 shuffles:
// the transposition is done on packed dwords, so that one serves four tiles.
#include "kernels/amx/tile_gemm.h"
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"

namespace bitnet {
namespace {

struct I2sTiles {
  using Layout = i2s::Layout;
  static constexpr const TernaryKernel& kVector = kAvx512VnniI2s;

  static constexpr int kSteps = 4;

  BITNET_INLINE void unpack(Zmm v, Zmm t[kSteps]) const {
    const Zmm low = _mm512_set1_epi8(3);
    unroll<kSteps>([&](auto f) BITNET_INLINE_LAMBDA { t[f] = _mm512_and_si512(f ? _mm512_srli_epi16(v, 2 * f) : v, low); });
  }
};

}  // namespace

extern const TernaryKernel kAmxI2s = {
    "amx-int8-i2s", "i2s", "amx-int8",
    "2-bit codes; batches as tiles of 16 x 16 x 64 on the matrix unit, single tokens as avx512-vnni-i2s.",
    kAmxLevel, i2s::packed_bytes, i2s::pack, amx_scratch_bytes<I2sTiles>, amx_gemm<I2sTiles>, nullptr, nullptr,
    true, amx_gemv_rows<I2sTiles>, kPanelRows, kSparseBatchShare,
};

}  // namespace bitnet
