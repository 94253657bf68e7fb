#include "kernels/avx512/float_vector.h"
#include "kernels/dense.inl"
