// What products by input (columns.inl) need of AVX-512, for avx512-columns and amx-columns: five weights a byte, as t5.
#pragma once

#include "kernels/avx512/t5_decode.h"

#include "kernels/columns.inl"

namespace bitnet {
namespace {

struct Avx512Columns {
  using Vector = Zmm;
  static constexpr size_t kBytes = 64, kFields = 5, kColumns = 8, kAhead = 24;
  static constexpr int kTokens = 6;
  static constexpr double kUnpackCost = 1.4, kTokenCost = 0.35;
  static constexpr size_t kRows = 64, kPanelColumns = 512, kFewPanelColumns = 64;

  static BITNET_INLINE void fetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
  static BITNET_INLINE Zmm zero() { return _mm512_setzero_si512(); }
  static BITNET_INLINE Zmm load(const void* p) { return bitnet::load(p); }
  static BITNET_INLINE void store(void* p, Zmm v) { _mm512_store_si512(p, v); }
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

  // t[3] keeps its factor 64.
  static BITNET_INLINE void add(Zmm* s, const Zmm (&q)[2], const Zmm (&a)[2]) {
    const T5Decoder decoder;
    Zmm sums[5];
    unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { sums[f] = s[f]; });
    unroll<2>([&](auto g) BITNET_INLINE_LAMBDA {
      Zmm t[5];
      decoder.decode(q[g], t);
      unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { dot(sums[f], t[f], a[g]); });
    });
    unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { s[f] = sums[f]; });
  }

  template <int F>
  static BITNET_INLINE void store_rows(Zmm v, Zmm base, int32_t* out) {
    _mm512_storeu_si512(out, _mm512_add_epi32(F == 3 ? _mm512_srai_epi32(v, 6) : v, base));
  }

  static BITNET_INLINE void unpack(Zmm v, Zmm (&codes)[5]) {
    const T5Decoder decoder;
    decoder.unpack(v, codes);
  }

  // Accumulator lanes run along rows: 4 x 16 rows x 6 tokens; per 4 columns 4 loads, 6 broadcasts, 24 vpdpbusd.
  template <int T>
  static BITNET_INLINE void multiply(const uint8_t* panel, size_t group_bytes, size_t columns, const int8_t* x, size_t stride,
                                     int32_t* y, size_t ldy) {
    Zmm a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = load(y + t * ldy + 16 * r); });
    });
    for (size_t k = 0; k < columns; k += 64, panel += 2 * kColumnTile) {
      for (size_t line = 0; line < 16; line++) {
        const uint8_t* p = panel + 64 * line;
        const Zmm w0 = load(p), w1 = load(p + kColumnTile), w2 = load(p + group_bytes), w3 = load(p + group_bytes + kColumnTile);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          const Zmm v = broadcast(load_four_bytes(x + t * stride + k + 4 * line));
          dot(a[t][0], w0, v);
          dot(a[t][1], w1, v);
          dot(a[t][2], w2, v);
          dot(a[t][3], w3, v);
        });
      }
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { _mm512_storeu_si512(y + t * ldy + 16 * r, a[t][r]); });
    });
  }
};

}  // namespace
}  // namespace bitnet
