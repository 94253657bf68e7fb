#include "kernels/neon/float_vector.h"
#undef BITNET_FLOATS
#define BITNET_FLOATS neon_dotprod_floats

#include "kernels/neon_dotprod/byte_sums.h"
#include "kernels/attention_int8.inl"
