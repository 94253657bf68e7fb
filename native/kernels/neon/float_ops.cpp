#include "kernels/neon/float_vector.h"
#include "kernels/float_ops.inl"

BITNET_FLOAT_OPS(kNeonFloatOps, "neon", kNeon, BITNET_FLOATS)

#if defined(BITNET_HAVE_NEON_DOTPROD)
namespace bitnet::neon_dotprod_floats {
void int8_attention(const AttentionArgs& a);
}

BITNET_FLOAT_OPS(kNeonDotprodFloatOps, "neon-dotprod", kNeon | kDotprod, neon_dotprod_floats)
#endif
