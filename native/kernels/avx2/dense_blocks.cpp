#include "kernels/avx2/float_vector.h"
#include "kernels/dense_blocks.inl"
