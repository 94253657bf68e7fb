// avx512-columns: eight live columns at a time.
//
// Four columns' 64-byte blocks are interleaved by unpacking (8 operations), so that every dword holds one row's bytes of
// the four; vpdpbusd then adds four products per lane with the four activations broadcast. Fields are masked in place:
// the sums of field f carry the factor 4^f, undone at the end. Per 512 bytes (2048 weights): 8 loads, 16 unpacks, 32 ANDs,
// 32 vpdpbusd, 16 loads and stores of sums, 8 prefetches.
#include "kernels/avx512/zmm.h"
#include "kernels/columns.inl"

namespace bitnet {
namespace {

struct Avx512Columns {
  using Vector = Zmm;
  static constexpr size_t kBytes = 64, kColumns = 8, kAhead = 24;

  static BITNET_INLINE Zmm zero() { return _mm512_setzero_si512(); }
  static BITNET_INLINE Zmm load(const void* p) { return bitnet::load(p); }
  static BITNET_INLINE Zmm broadcast(int32_t four) { return _mm512_set1_epi32(four); }
  static BITNET_INLINE uint64_t nonzero(const int8_t* p) { return _mm512_test_epi8_mask(load(p), load(p)); }
  static BITNET_INLINE int lowest(uint64_t mask) { return static_cast<int>(_tzcnt_u64(mask)); }

  static BITNET_INLINE void interleave(const Zmm (&v)[4], Zmm (&q)[4]) {
    const Zmm p0 = _mm512_unpacklo_epi8(v[0], v[1]), p1 = _mm512_unpackhi_epi8(v[0], v[1]);
    const Zmm p2 = _mm512_unpacklo_epi8(v[2], v[3]), p3 = _mm512_unpackhi_epi8(v[2], v[3]);
    q[0] = _mm512_unpacklo_epi16(p0, p2);
    q[1] = _mm512_unpackhi_epi16(p0, p2);
    q[2] = _mm512_unpacklo_epi16(p1, p3);
    q[3] = _mm512_unpackhi_epi16(p1, p3);
  }

  static BITNET_INLINE void add(Zmm* s, const Zmm (&q)[2], const Zmm (&a)[2]) {
    Zmm sums[4] = {s[0], s[1], s[2], s[3]};
    unroll<2>([&](auto g) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
        dot(sums[f], _mm512_and_si512(q[g], _mm512_set1_epi8(static_cast<char>(3 << 2 * f))), a[g]);
      });
    });
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { s[f] = sums[f]; });
  }

  template <int F>
  static BITNET_INLINE void store_rows(Zmm v, int32_t sum, int32_t* out) {
    v = _mm512_sub_epi32(_mm512_srai_epi32(v, 2 * F), _mm512_set1_epi32(sum));
    unroll<4>([&](auto l) BITNET_INLINE_LAMBDA {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * l), _mm512_extracti32x4_epi32(v, l));
    });
  }
};

}  // namespace

extern const ColumnKernel kAvx512Columns = {"avx512-columns", "avx512-vnni", kAvx512Level, columns_nonzero<Avx512Columns>,
                                            columns_gemv<Avx512Columns>};

}  // namespace bitnet
