#include "kernels/avx2/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kAvx2FloatOps, "avx2", kAvx2Level, BITNET_FLOATS)

#if defined(BITNET_HAVE_AVX_VNNI)
namespace bitnet::avx_vnni_floats {
void int8_attention(const AttentionArgs& a);
}

BITNET_FLOAT_OPS(kAvxVnniFloatOps, "avx-vnni", kAvx2Level | kAvxVnni, avx_vnni_floats)
#endif
