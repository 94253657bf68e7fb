// Rows of packed codes times a few tokens, decoded in registers: what i2s.cpp and t5.cpp multiply small batches with
// (force-inlined: see inline.h).
//
// Decoder provides kFields, a State per row, start(bytes, state) and field<F>(state): 64 codes 0..2 (or 0..3), a byte each, of
// columns 64 F and following of a block.
//
// Field by field, so that a block's activations are loaded once for R rows: per 64 columns of them the decoder's operations for
// R fields, T loads, and R T vpdpbusd into R T accumulators. They keep both ports busy, oldest first, so what is decoded just
// before it is wanted comes too late, by its latency; each field is decoded before the products of the one in front of it.
// With eight tokens and two rows, 80 of the 98 operations of t5's blocks are products, 64 of 76 of i2s's; measured, a block
// takes 51 cycles where 49 are the least.
#pragma once

#include "kernels/avx512/zmm.h"
#include "kernels/four_rows.h"

namespace bitnet {
namespace {

// Keeps the computation of v where it stands.
BITNET_INLINE void keep_order([[maybe_unused]] Zmm& v) {
#if defined(__GNUC__) && !defined(__clang__)
  __asm__ volatile("" : "+v"(v));
#endif
}

template <class Decoder, int R, int T>
BITNET_INLINE void multiply_packed(const uint8_t* const* row, const uint8_t* const* next, size_t blocks, const int8_t* x,
                                   size_t stride, Zmm (&a)[T][R]) {
  constexpr int kFields = Decoder::kFields;
  const Decoder decoder;
  typename Decoder::State state[R];
  Zmm w[R];
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm512_setzero_si512(); });
  });
  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
    decoder.start(load(row[r]), state[r]);
    w[r] = decoder.template field<0>(state[r]);
  });
  for (size_t b = 0; b < blocks; b++) {
    const size_t following = b + 1 < blocks ? 64 * (b + 1) : 64 * b;
    unroll<kFields>([&](auto f) BITNET_INLINE_LAMBDA {
      Zmm ahead[R];
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        ahead[r] = decoder.template field<(f + 1) % kFields>(state[r]);
        // The last field is taken: the next block's codes can replace this one's.
        if constexpr (f == kFields - 2) {
          prefetch(next[r] + 64 * b);
          decoder.start(load(row[r] + following), state[r]);
        }
        keep_order(ahead[r]);
      });
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        const Zmm v = load(x + t * stride + (b * kFields + f) * 64);
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { dot(a[t][r], w[r], v); });
      });
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { w[r] = ahead[r]; });
    });
  }
}

constexpr int kPackedTileTokens = 8;

// Isa::tile_packed of row_gemm.inl. Up to four tokens share all four rows' activations; more take two rows at a time, for want
// of registers.
template <class Decoder, int T>
BITNET_INLINE void packed_tile(const FourRows& four, size_t blocks, const int8_t* x, size_t stride, const int32_t* sums,
                               int32_t* y, size_t ldy) {
  if constexpr (T <= 4) {
    Zmm a[T][4];
    multiply_packed<Decoder, 4, T>(four.row, four.next, blocks, x, stride, a);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { keep4(y + t * ldy, sum4(a[t][0], a[t][1], a[t][2], a[t][3]), sums[t]); });
  } else {
    // Two tokens' sums of two rows a register.
    __m128i pairs[2][(T + 1) / 2];
    unroll<2>([&](auto half) BITNET_INLINE_LAMBDA {
      Zmm a[T][2];
      multiply_packed<Decoder, 2, T>(four.row + 2 * half, four.next + 2 * half, blocks, x, stride, a);
      unroll<(T + 1) / 2>([&](auto i) BITNET_INLINE_LAMBDA {
        constexpr int t = 2 * i, u = t + 1 < T ? t + 1 : t;
        pairs[half][i] = sum4(a[t][0], a[t][1], a[u][0], a[u][1]);
      });
    });
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      const __m128i first = pairs[0][t / 2], second = pairs[1][t / 2];
      keep4(y + t * ldy, t % 2 ? _mm_unpackhi_epi64(first, second) : _mm_unpacklo_epi64(first, second), sums[t]);
    });
  }
}

}  // namespace
}  // namespace bitnet
