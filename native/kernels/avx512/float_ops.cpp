#include "kernels/avx512/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kAvx512FloatOps, "avx512", kAvx512Level, BITNET_FLOATS)
