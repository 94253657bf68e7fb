// amx-int8-i2s: batches of I2_S on tile registers (tile_gemm.h); single tokens as avx512-vnni-i2s, whose layout it shares.
//
// Unpacking a block of 16 rows (4,096 weights): 16 loads, 64 shuffles, 48 shifts, 64 ANDs, 64 stores. The transposition
// is done on packed dwords, so that one serves four tiles.
#include "kernels/amx/tile_gemm.h"
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"

namespace bitnet {
namespace {

struct I2sTiles {
  using Layout = i2s::Layout;
  static constexpr const TernaryKernel& kVector = kAvx512VnniI2s;

  static BITNET_INLINE void unpack16(const Zmm v[16], uint8_t* tiles, size_t step) {
    const Zmm low = _mm512_set1_epi8(3);
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
      unroll<16>([&](auto i) BITNET_INLINE_LAMBDA {
        _mm512_store_si512(tiles + f * step + 64 * i, _mm512_and_si512(f ? _mm512_srli_epi16(v[i], 2 * f) : v[i], low));
      });
    });
  }
};

}  // namespace

extern const TernaryKernel kAmxI2s = {
    "amx-int8-i2s", "i2s", "amx-int8",
    "2-bit codes; batches as tiles of 16 x 16 x 64 on the matrix unit, single tokens as avx512-vnni-i2s.",
    kAmxLevel, i2s::packed_bytes, i2s::pack, amx_scratch_bytes<I2sTiles>, amx_gemm<I2sTiles>, nullptr, nullptr,
    true, amx_gemv_rows<I2sTiles>, kPanelRows,
};

}  // namespace bitnet
