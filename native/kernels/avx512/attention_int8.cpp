#include "kernels/avx512/float_vector.h"
#include "kernels/avx512/byte_sums.h"
#include "kernels/attention_int8.inl"
