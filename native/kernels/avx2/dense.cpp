#include "kernels/avx2/float_vector.h"
#include "kernels/dense.inl"
