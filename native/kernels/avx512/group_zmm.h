// The 16 rows of a tile of group-scaled weights in a 64-byte register (force-inlined: see inline.h).
#pragma once

#include "kernels/avx512/zmm.h"
#include "kernels/group_layout.h"

namespace bitnet {
namespace {

struct GroupZmm {
  using Ints = Zmm;
  using Floats = __m512;
  static constexpr int32_t kBias8 = 0;

  static BITNET_INLINE Ints zero() { return _mm512_setzero_si512(); }
  static BITNET_INLINE Floats zero_floats() { return _mm512_setzero_ps(); }
  static BITNET_INLINE Floats load_floats(const void* p) { return _mm512_loadu_ps(p); }
  static BITNET_INLINE void prefetch_line(const uint8_t* p) { prefetch(p); }
  static BITNET_INLINE Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static BITNET_INLINE Ints sub(Ints a, int32_t b) { return _mm512_sub_epi32(a, _mm512_set1_epi32(b)); }
  static BITNET_INLINE Ints sub_zeros(Ints a, const uint8_t* zeros, int32_t bias, int32_t sum) {
    const Zmm z = _mm512_sub_epi32(load(zeros), _mm512_set1_epi32(bias));
    return _mm512_sub_epi32(a, _mm512_mullo_epi32(z, _mm512_set1_epi32(sum)));
  }
  static BITNET_INLINE Floats multiply_add(Ints a, Floats scale, Floats f) {
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), scale, f);
  }
  static BITNET_INLINE void store(Floats f, float scale, float* y) {
    _mm512_storeu_ps(y, _mm512_mul_ps(f, _mm512_set1_ps(scale)));
  }
};

}  // namespace
}  // namespace bitnet
