#include "kernels/dot_peak.h"

namespace bitnet {

const std::vector<const DotPeak*>& all_dot_peaks() {
  static const std::vector<const DotPeak*> peaks = {
#if defined(BITNET_HAVE_AMX)
      &kAmxDotPeak,
#endif
#if defined(BITNET_HAVE_AVX512)
      &kAvx512VnniDotPeak,
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
      &kAvxVnniDotPeak,
#endif
#if defined(BITNET_HAVE_AVX2)
      &kAvx2DotPeak,
#endif
#if defined(BITNET_HAVE_NEON_I8MM)
      &kNeonI8mmDotPeak,
#endif
#if defined(BITNET_HAVE_NEON_DOTPROD)
      &kNeonDotprodDotPeak,
#endif
#if defined(BITNET_HAVE_NEON)
      &kNeonDotPeak,
#endif
  };
  return peaks;
}

}  // namespace bitnet
