// amx-int8-t5: batches of the dense 1.6-bit layout on tile registers (tile_gemm.h); single tokens as avx512-vbmi-t5, whose
// layout it shares.
//
// Unpacking a block of 16 rows (5,120 weights): 16 loads, 64 shuffles to transpose packed dwords, 16 x 9 operations to
// decode, 80 stores.
#include "kernels/amx/tile_gemm.h"
#include "kernels/avx512/t5_decode.h"
#include "kernels/registry.h"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct T5Tiles {
  using Layout = t5::Layout;
  static constexpr const TernaryKernel& kVector = kAvx512VbmiT5;

  static BITNET_INLINE void unpack16(const Zmm v[16], uint8_t* tiles, size_t step) {
    const T5Decoder decoder;
    unroll<16>([&](auto i) BITNET_INLINE_LAMBDA {
      Zmm t[5];
      decoder.decode(v[i], t);
      t[3] = _mm512_srli_epi16(t[3], 6);
      unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_store_si512(tiles + f * step + 64 * i, t[f]); });
    });
  }
};

}  // namespace

extern const TernaryKernel kAmxT5 = {
    "amx-int8-t5", "t5", "amx-int8",
    "Five weights a byte (1.6 bits); batches as tiles on the matrix unit, single tokens as avx512-vbmi-t5.",
    kAmxLevel, t5::packed_bytes, t5::pack, amx_scratch_bytes<T5Tiles>, amx_gemm<T5Tiles>, nullptr, nullptr,
    false, amx_gemv_rows<T5Tiles>, kPanelRows,
};

}  // namespace bitnet
