#include "kernels/avx2/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kAvx2FloatOps, "avx2", kAvx2Level)
