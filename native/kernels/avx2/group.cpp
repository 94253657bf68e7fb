// avx2-group: codes of 2, 4 or 8 bits with a scale per group, vpmaddubsw, one row a lane.
//
// Per 16 columns and half a tile (8 rows): 4 vpmaddubsw summed in int16 (at most 4 * 2 * 15 * 128 = 15360), 1 vpmaddwd
// with ones, 1 vpaddd per token. 8-bit codes go as two halves of 4 bits, the high one shifted back in int32.
#include "kernels/avx2/group_ymm.h"
#include "kernels/group_gemm.inl"

namespace bitnet {
namespace {

struct Avx2 : GroupYmm {
  static constexpr int kTokens = 2;

  static BITNET_INLINE Ymm widen(Ymm v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }

  template <int Bits, int T>
  static BITNET_INLINE void step(const uint8_t* w, const int8_t* x, size_t stride, Ints a[T][2]) {
    const Ymm low = _mm256_set1_epi8(15);
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      Ymm s[T], top[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { s[t] = top[t] = _mm256_setzero_si256(); });
      unroll<4>([&](auto part) BITNET_INLINE_LAMBDA {
        const Ymm c = codes<Bits, decltype(part)::value>(w, h);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          const Ymm v = broadcast(x + t * stride + 4 * part);
          if constexpr (Bits == 8) {
            s[t] = _mm256_add_epi16(s[t], _mm256_maddubs_epi16(_mm256_and_si256(c, low), v));
            top[t] = _mm256_add_epi16(
                top[t], _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(c, 4), low), v));
          } else {
            s[t] = _mm256_add_epi16(s[t], _mm256_maddubs_epi16(c, v));
          }
        });
      });
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        a[t][0].v[h] = _mm256_add_epi32(a[t][0].v[h], widen(s[t]));
        if constexpr (Bits == 8) a[t][1].v[h] = _mm256_add_epi32(a[t][1].v[h], _mm256_slli_epi32(widen(top[t]), 4));
      });
    });
  }
};

}  // namespace

extern const GroupKernel kAvx2Group = {
    "avx2-group", "group", "avx2", "Codes of 2, 4 or 8 bits with a scale per group, vpmaddubsw, one row a lane.",
    kAvx2Level, grouped::supports, grouped::packed_bytes, grouped::pack, group_scratch<Avx2>, group_gemm<Avx2>,
    nullptr, nullptr,
};

}  // namespace bitnet
