// avx-vnni-group: codes of 2, 4 or 8 bits with a scale per group, vpdpbusd on 32-byte registers, one row a lane.
//
// Per 16 columns and half a tile (8 rows): 4 vpdpbusd per token with four activations broadcast.
#include "kernels/avx2/group_ymm.h"
#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/group_gemm.inl"

namespace bitnet {
namespace {

struct AvxVnni : GroupYmm {
  static constexpr int kTokens = 2;

  template <int Bits, int T>
  static BITNET_INLINE void step(const uint8_t* w, const int8_t* x, size_t stride, Ints a[T][2]) {
    unroll<4>([&](auto part) BITNET_INLINE_LAMBDA {
      Ymm v[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = broadcast(x + t * stride + 4 * part); });
      unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
        const Ymm c = codes<Bits, decltype(part)::value>(w, h);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { dot(a[t][part % 2].v[h], c, v[t]); });
      });
    });
  }
};

}  // namespace

extern const GroupKernel kAvxVnniGroup = {
    "avx-vnni-group", "group", "avx-vnni",
    "Codes of 2, 4 or 8 bits with a scale per group, vpdpbusd on 32-byte registers, one row a lane.",
    kAvx2Level | kAvxVnni, grouped::supports, grouped::packed_bytes, grouped::pack, group_scratch<AvxVnni>,
    group_gemm<AvxVnni>, nullptr, nullptr,
};

}  // namespace bitnet
