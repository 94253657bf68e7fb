// avx-vnni-i2s: I2_S with vpdpbusd on 32-byte registers (VEX encoding).
//
// GEMV, per 32 bytes of a row (128 weights): 1 load, 1 shift, 4 vpand, 4 vpdpbusd with the activations as memory
// operands; fields 0 and 2 share an accumulator, 1 and 3 (factor 4) another: 8 accumulators for four rows leave room in
// 16 registers. GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

struct AvxVnni : RowByRow<i2s::Layout, UnpackI2s> {
  using Tile = VnniByteTile;
  static constexpr int kPackedTokens = Tile::kTokens;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    const Ymm low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Ymm ones[4], fours[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = fours[r] = _mm256_setzero_si256(); });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * 256;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          prefetch(four.next[r] + b * 64);
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            const Ymm v = load(four.row[r] + b * 64 + 32 * h), s = _mm256_srli_epi16(v, 4);
            dot(ones[r], _mm256_and_si256(v, low), load(xb + 32 * h));
            dot(fours[r], _mm256_and_si256(v, high), load(xb + 64 + 32 * h));
            dot(ones[r], _mm256_and_si256(s, low), load(xb + 128 + 32 * h));
            dot(fours[r], _mm256_and_si256(s, high), load(xb + 192 + 32 * h));
          });
        });
      }
      Ymm s[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { s[r] = _mm256_add_epi32(ones[r], _mm256_srai_epi32(fours[r], 2)); });
      alignas(16) int32_t sums[4];
      keep4(sums, sum4(s[0], s[1], s[2], s[3]), sum);
      rows.put(i, sums, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride,
                                        const int32_t* sums, int32_t* y, size_t ldy) {
    Ymm a[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm256_setzero_si256(); });
    });
    for (size_t b = 0; b < blocks; b++) {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
      unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            const Ymm w = field<decltype(f)::value>(load(four.row[r] + 64 * b + 32 * h));
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              dot(a[t][r], w, load(x + t * stride + b * 256 + f * 64 + h * 32));
            });
          });
        });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      keep4(y + t * ldy, sum4(a[t][0], a[t][1], a[t][2], a[t][3]), sums[t]);
    });
  }
};

}  // namespace

extern const TernaryKernel kAvxVnniI2s = {
    "avx-vnni-i2s", "i2s", "avx-vnni",
    "2-bit codes with vpdpbusd on 32-byte registers, for CPUs with AVX-VNNI but no AVX-512.",
    kAvx2Level | kAvxVnni, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<AvxVnni>, nullptr, nullptr, true,
    row_gemv_rows<AvxVnni>,
};

}  // namespace bitnet
