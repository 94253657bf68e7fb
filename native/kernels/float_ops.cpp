#include "kernels/float_ops.h"

#include <cstring>

namespace bitnet {

const FloatOps& float_ops_for(const TernaryKernel& kernel) {
#if defined(BITNET_HAVE_AVX512)
  if (!std::strncmp(kernel.isa, "avx512", 6) || !std::strncmp(kernel.isa, "amx", 3)) return kAvx512FloatOps;
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
  if (!std::strncmp(kernel.isa, "avx-vnni", 8)) return kAvxVnniFloatOps;
#endif
#if defined(BITNET_HAVE_AVX2)
  if (!std::strncmp(kernel.isa, "avx", 3)) return kAvx2FloatOps;
#endif
#if defined(BITNET_HAVE_NEON_DOTPROD)
  if (!std::strncmp(kernel.isa, "neon-", 5)) return kNeonDotprodFloatOps;
#endif
#if defined(BITNET_HAVE_NEON)
  if (!std::strncmp(kernel.isa, "neon", 4)) return kNeonFloatOps;
#endif
  (void)kernel;
  return kScalarFloatOps;
}

}  // namespace bitnet
