#include "kernels/avx2/float_vector.h"
#include "kernels/avx2/byte_sums.h"
#include "kernels/attention_int8.inl"
