// avx2-columns: four live columns at a time, 32 bytes of a block (half of its rows) per step.
//
// vpmaddubsw and vpmaddwd take the place of vpdpbusd: two codes of at most 2 (8 in place for the odd fields, after one shift
// by 4 for the upper two) times two activations stay below 2 * 8 * 128 = 2048.
#include "kernels/avx2/byte_tile.h"
#include "kernels/avx2/columns_ymm.h"

namespace bitnet {
namespace {

struct Avx2Columns : YmmColumns {
  static constexpr int kTokens = 3;

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
  static BITNET_INLINE void store_rows(Ymm v, Ymm base, int32_t* out) {
    store_sums(_mm256_srai_epi32(v, 2 * (F % 2)), base, out);
  }

  // 4 x 8 rows x 3 tokens of int16 pairs in 12 registers; one of codes, one of products and two of activations are the
  // other four, so the third token's are broadcast again for each register of codes. Per 4 columns 4 loads, 6 broadcasts,
  // 12 vpmaddubsw, 12 vpaddw. A product pair of codes up to 2 is at most 2 * 2 * 128 = 512 in absolute value; widened to
  // int32 every 192 columns: 48 * 512 = 24576.
  template <int T>
  static BITNET_INLINE void multiply(const uint8_t* panel, size_t, size_t columns, const int8_t* x, size_t stride, int32_t* y,
                                     size_t ldy) {
    constexpr size_t kFlushColumns = 192;
    static_assert(T <= 3);
    constexpr int kKept = T - (T > 2);
    fetch_tokens<T>(x, stride, columns, y, ldy);
    for (size_t k0 = 0; k0 < columns; k0 += kFlushColumns) {
      const size_t k1 = k0 + kFlushColumns < columns ? k0 + kFlushColumns : columns;
      Ymm a[T][4];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = zero(); });
      });
      for (size_t k = k0; k < k1; k += 64, panel += 2 * kColumnTile) {
        for (size_t line = 0; line < 16; line++) {
          const int8_t* four = x + k + 4 * line;
          Ymm v[kKept];
          unroll<kKept>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = broadcast_four(four + t * stride); });
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            const Ymm codes = panel_register(panel + 64 * line, r);
            unroll<kKept>([&](auto t) BITNET_INLINE_LAMBDA { add_pairs(a[t][r], codes, v[t]); });
            if constexpr (T > kKept) add_pairs(a[kKept][r], codes, broadcast_again(four + kKept * stride));
          });
        }
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          auto* out = reinterpret_cast<Ymm*>(y + t * ldy + 8 * r);
          _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), widen(a[t][r])));
        });
      });
    }
  }

 private:
  // broadcast_four, which g++ would otherwise keep in a register and spill sums for it.
  static BITNET_INLINE Ymm broadcast_again(const int8_t* x) {
#if defined(__GNUC__) && !defined(__clang__)
    Ymm v;
    __asm__("vpbroadcastd %1, %0" : "=x"(v) : "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
    return v;
#else
    return broadcast_four(x);
#endif
  }
};

}  // namespace

extern const ColumnKernel kAvx2Columns = {"avx2-columns",
                                          "avx2",
                                          kAvx2Level,
                                          Avx2Columns::kFields,
                                          columns_nonzero<Avx2Columns>,
                                          columns_live<Avx2Columns>,
                                          columns_gemm<Avx2Columns>,
                                          columns_scratch<Avx2Columns>,
                                          columns_gemm_cost<Avx2Columns>};

}  // namespace bitnet
