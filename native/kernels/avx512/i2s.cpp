// avx512-vnni-i2s: I2_S with vpdpbusd on 64-byte registers.
//
// GEMV, per 64 bytes (256 weights): 1 load, 4 vpandd, 4 vpdpbusd, 1 prefetch; no shifts, since field f is multiplied in
// place and carries the factor 4^f in an accumulator of its own, undone once per row. Four rows share the activations'
// four registers. vpdpbusd adds four u8 x s8 products without saturation; the largest field (192 = 64 * 3) is exact.
// GEMM: small batches by packed_tile.h, larger ones by bytes and the tile of zmm.h.
#include "kernels/avx512/packed_tile.h"
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

// sum over f of 4^f * field sums -> plain sums; every partial is divisible, so the shifts are exact.
BITNET_INLINE Zmm fold(Zmm f0, Zmm f1, Zmm f2, Zmm f3) {
  Zmm t = _mm512_add_epi32(_mm512_srai_epi32(f3, 2), f2);
  t = _mm512_add_epi32(_mm512_srai_epi32(t, 2), f1);
  return _mm512_add_epi32(_mm512_srai_epi32(t, 2), f0);
}

struct I2sDecoder {
  static constexpr int kFields = 4;
  struct State {
    Zmm bytes;
  };
  Zmm mask = _mm512_set1_epi8(3);

  BITNET_INLINE void start(Zmm v, State& s) const { s.bytes = v; }
  template <int F>
  BITNET_INLINE Zmm field(const State& s) const {
    return _mm512_and_si512(_mm512_srli_epi16(s.bytes, 2 * F), mask);
  }
};

struct UnpackI2s {
  I2sDecoder decoder;

  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    I2sDecoder::State state;
    decoder.start(load(block), state);
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_storeu_si512(out + 64 * f, decoder.field<f>(state)); });
  }
};

struct Avx512 : RowByRow<i2s::Layout, UnpackI2s> {
  using Tile = ZmmByteTile;
  static constexpr int kPackedTokens = kPackedTileTokens;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const Zmm m0 = _mm512_set1_epi8(0x03), m1 = _mm512_set1_epi8(0x0c), m2 = _mm512_set1_epi8(0x30),
              m3 = _mm512_set1_epi8(static_cast<char>(0xc0));
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Zmm a[4][4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { a[r][f] = _mm512_setzero_si512(); });
      });
      for (size_t b = 0; b < blocks; b++) {
        const Zmm x0 = load(x + b * 256), x1 = load(x + b * 256 + 64), x2 = load(x + b * 256 + 128),
                  x3 = load(x + b * 256 + 192);
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          Zmm v = load(four.row[r] + b * 64);
#if defined(__GNUC__) && !defined(__clang__)
          __asm__("" : "+v"(v));  // keeps one load instead of four memory operands
#endif
          prefetch(four.next[r] + b * 64);
          dot(a[r][0], _mm512_and_si512(v, m0), x0);
          dot(a[r][1], _mm512_and_si512(v, m1), x1);
          dot(a[r][2], _mm512_and_si512(v, m2), x2);
          dot(a[r][3], _mm512_and_si512(v, m3), x3);
        });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(fold(a[0][0], a[0][1], a[0][2], a[0][3]), fold(a[1][0], a[1][1], a[1][2], a[1][3]),
                    fold(a[2][0], a[2][1], a[2][2], a[2][3]), fold(a[3][0], a[3][1], a[3][2], a[3][3])), sum);
      rows.put(i, s, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride, const int32_t* sums,
                                        int32_t* y, size_t ldy) {
    packed_tile<I2sDecoder, T>(four, blocks, x, stride, sums, y, ldy);
  }
};

}  // namespace

extern const TernaryKernel kAvx512VnniI2s = {
    "avx512-vnni-i2s", "i2s", "avx512-vnni",
    "2-bit codes multiplied in place by vpdpbusd on 64-byte registers: one AND and one dot product per 64 weights.",
    kAvx512Level, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<Avx512>, nullptr, nullptr, true,
    row_gemv_rows<Avx512>,
};

}  // namespace bitnet
