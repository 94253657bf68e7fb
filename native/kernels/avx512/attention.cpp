#include "kernels/avx512/float_vector.h"
#include "kernels/attention.inl"
