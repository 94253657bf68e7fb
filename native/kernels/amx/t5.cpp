// amx-int8-t5: batches of the dense 1.6-bit layout on tile registers (tile_stream.h, tile_gemm.h); single tokens as
// avx512-vbmi-t5, whose layout it shares.
//
// Unpacking a block of 16 rows (5,120 weights): 16 loads, 16 x 9 operations to decode, 80 stores; for long batches also 64
// shuffles to transpose packed dwords.
#include "kernels/amx/tile_gemm.h"
#include "kernels/avx512/t5_decode.h"
#include "kernels/registry.h"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

class T5Tiles {
 public:
  using Layout = t5::Layout;
  static constexpr const TernaryKernel& kVector = kAvx512VbmiT5;

  static constexpr int kSteps = 5;

  BITNET_INLINE void unpack(Zmm v, Zmm t[kSteps]) const {
    decoder.unpack(v, t);
  }

 private:
  T5Decoder decoder;
};

}  // namespace

extern const TernaryKernel kAmxT5 = {
    "amx-int8-t5", "t5", "amx-int8",
    "Five weights a byte (1.6 bits); batches as tiles on the matrix unit, single tokens as avx512-vbmi-t5.",
    kAmxLevel, t5::packed_bytes, t5::pack, amx_scratch_bytes<T5Tiles>, amx_gemm<T5Tiles>, nullptr, nullptr,
    false, amx_gemv_rows<T5Tiles>, kPanelRows, kSparseBatchShare,
};

}  // namespace bitnet
