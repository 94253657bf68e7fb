#include "kernels/neon/float_vector.h"
#include "kernels/neon/byte_sums.h"
#include "kernels/attention_int8.inl"
