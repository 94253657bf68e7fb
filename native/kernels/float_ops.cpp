#include "kernels/float_ops.h"

#include <cstring>

namespace bitnet {

const FloatOps& float_ops_for(const TernaryKernel& kernel) {
#if defined(__x86_64__) || defined(_M_X64)
  if (!std::strncmp(kernel.isa, "avx512", 6) || !std::strncmp(kernel.isa, "amx", 3)) return kAvx512FloatOps;
  if (!std::strncmp(kernel.isa, "avx", 3)) return kAvx2FloatOps;
#elif defined(__aarch64__) || defined(_M_ARM64)
  if (!std::strncmp(kernel.isa, "neon", 4)) return kNeonFloatOps;
#endif
  (void)kernel;
  return kScalarFloatOps;
}

}  // namespace bitnet
