#include "kernels/scalar/float_vector.h"
#include "kernels/dense_blocks.inl"
