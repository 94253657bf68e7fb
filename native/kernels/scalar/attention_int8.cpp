#include "kernels/scalar/float_vector.h"
#include "kernels/scalar/byte_sums.h"
#include "kernels/attention_int8.inl"
