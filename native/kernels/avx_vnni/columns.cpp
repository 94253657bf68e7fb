// avx-vnni-columns: avx2-columns with vpdpbusd. Fields stay in place: the sums of field f carry the factor 4^f.
#include "kernels/avx2/columns_ymm.h"
#include "kernels/avx_vnni/byte_tile.h"

namespace bitnet {
namespace {

struct VnniColumns : YmmColumns {
  static constexpr int kTokens = 3;

  static BITNET_INLINE void add(Ymm* s, const Ymm (&q)[1], const Ymm (&a)[1]) {
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
      Ymm sum = s[f];
      dot(sum, _mm256_and_si256(q[0], _mm256_set1_epi8(static_cast<char>(3 << 2 * f))), a[0]);
      s[f] = sum;
    });
  }

  template <int F>
  static BITNET_INLINE void store_rows(Ymm v, Ymm base, int32_t* out) {
    store_sums(_mm256_srai_epi32(v, 2 * F), base, out);
  }

  // 4 x 8 rows x 3 tokens = 12 accumulators, three registers of activations and one of codes, all 16.
  template <int T>
  static BITNET_INLINE void multiply(const uint8_t* panel, size_t, size_t columns, const int8_t* x, size_t stride, int32_t* y,
                                     size_t ldy) {
    fetch_tokens<T>(x, stride, columns, y, ldy);
    Ymm a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = load(y + t * ldy + 8 * r); });
    });
    for (size_t k = 0; k < columns; k += 64, panel += 2 * kColumnTile) {
      for (size_t line = 0; line < 16; line++) {
        Ymm v[T];
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = broadcast_four(x + t * stride + k + 4 * line); });
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          const Ymm codes = panel_register(panel + 64 * line, r);
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { dot(a[t][r], codes, v[t]); });
        });
      }
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        _mm256_storeu_si256(reinterpret_cast<Ymm*>(y + t * ldy + 8 * r), a[t][r]);
      });
    });
  }
};

}  // namespace

extern const ColumnKernel kAvxVnniColumns = {"avx-vnni-columns",
                                             "avx-vnni",
                                             kAvx2Level | kAvxVnni,
                                             VnniColumns::kFields,
                                             columns_nonzero<VnniColumns>,
                                             columns_live<VnniColumns>,
                                             columns_gemm<VnniColumns>,
                                             columns_scratch<VnniColumns>,
                                             columns_gemm_cost<VnniColumns>};

}  // namespace bitnet
