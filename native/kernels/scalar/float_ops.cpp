#include "kernels/scalar/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kScalarFloatOps, "scalar", 0, BITNET_FLOATS)
