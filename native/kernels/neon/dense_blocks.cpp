#include "kernels/neon/float_vector.h"
#include "kernels/dense_blocks.inl"
