// avx2-columns: four live columns at a time, 32 bytes of a block (half of its rows) per step.
//
// vpmaddubsw and vpmaddwd take the place of vpdpbusd: two codes of at most 2 (8 in place for the odd fields, after one shift
// by 4 for the upper two) times two activations stay below 2 * 8 * 128 = 2048.
#include "kernels/avx2/ymm.h"
#include "kernels/columns.inl"

namespace bitnet {
namespace {

struct Avx2Columns {
  using Vector = Ymm;
  static constexpr size_t kBytes = 32, kColumns = 4, kAhead = 16;

  static BITNET_INLINE Ymm zero() { return _mm256_setzero_si256(); }
  static BITNET_INLINE Ymm load(const void* p) { return bitnet::load(p); }
  static BITNET_INLINE Ymm broadcast(int32_t four) { return _mm256_set1_epi32(four); }
  static BITNET_INLINE uint32_t nonzero(const int8_t* p) {
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(p), zero())));
  }
  static BITNET_INLINE int lowest(uint32_t mask) { return lowest_bit(mask); }

  static BITNET_INLINE void interleave(const Ymm (&v)[4], Ymm (&q)[4]) {
    const Ymm p0 = _mm256_unpacklo_epi8(v[0], v[1]), p1 = _mm256_unpackhi_epi8(v[0], v[1]);
    const Ymm p2 = _mm256_unpacklo_epi8(v[2], v[3]), p3 = _mm256_unpackhi_epi8(v[2], v[3]);
    q[0] = _mm256_unpacklo_epi16(p0, p2);
    q[1] = _mm256_unpackhi_epi16(p0, p2);
    q[2] = _mm256_unpacklo_epi16(p1, p3);
    q[3] = _mm256_unpackhi_epi16(p1, p3);
  }

  static BITNET_INLINE void add(Ymm* s, const Ymm (&q)[1], const Ymm (&a)[1]) {
    const Ymm m0 = _mm256_set1_epi8(0x03), m1 = _mm256_set1_epi8(0x0c), ones = _mm256_set1_epi16(1);
    const Ymm high = _mm256_srli_epi16(q[0], 4);
    const Ymm codes[4] = {_mm256_and_si256(q[0], m0), _mm256_and_si256(q[0], m1), _mm256_and_si256(high, m0),
                          _mm256_and_si256(high, m1)};
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
      s[f] = _mm256_add_epi32(s[f], _mm256_madd_epi16(_mm256_maddubs_epi16(codes[f], a[0]), ones));
    });
  }

  template <int F>
  static BITNET_INLINE void store_rows(Ymm v, int32_t sum, int32_t* out) {
    v = _mm256_sub_epi32(_mm256_srai_epi32(v, 2 * (F % 2)), _mm256_set1_epi32(sum));
    auto* p = reinterpret_cast<__m128i*>(out);
    _mm_storeu_si128(p, _mm256_castsi256_si128(v));
    _mm_storeu_si128(p + 4, _mm256_extracti128_si256(v, 1));
  }
};

}  // namespace

extern const ColumnKernel kAvx2Columns = {"avx2-columns", "avx2", kAvx2Level, columns_nonzero<Avx2Columns>,
                                          columns_gemv<Avx2Columns>};

}  // namespace bitnet
