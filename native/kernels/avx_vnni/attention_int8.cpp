#include "kernels/avx2/float_vector.h"
#undef BITNET_FLOATS
#define BITNET_FLOATS avx_vnni_floats

#include "kernels/avx_vnni/byte_sums.h"
#include "kernels/attention_int8.inl"
