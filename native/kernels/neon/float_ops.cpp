#include "kernels/neon/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kNeonFloatOps, "neon", kNeon)
