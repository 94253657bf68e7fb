// avx512-vbmi-t5: five weights a byte, decoded by vpermb.
//
// GEMV, per 64 bytes: 1 load, 1 prefetch, 8 operations to decode (t5_decode.h) and 5 vpdpbusd; t3 keeps its factor 64 in an
// accumulator of its own, undone once per row. Four rows share five activation registers.
// GEMM: bytes (one more shift for t3), then the tile of zmm.h.
#include "kernels/avx512/t5_decode.h"

#include "kernels/registry.h"
#include "kernels/row_group.h"
#include "kernels/t5_gemm.inl"

namespace bitnet {
namespace {

struct Avx512 {
  using Tile = ZmmByteTile;

  static constexpr bool kRowLists = true;

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t fours,
                                 Rows&& rows) {
    const size_t blocks = t5::blocks(w.columns);
    const T5Decoder decoder;
    for (size_t i = 0; i < fours; i++) {
      const RowGroup g = rows(i);
      Zmm ones[4], sixtyfours[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = sixtyfours[r] = _mm512_setzero_si512(); });
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* xb = x + b * t5::kBlockColumns;
        const Zmm x0 = load(xb), x1 = load(xb + 64), x2 = load(xb + 128), x3 = load(xb + 192), x4 = load(xb + 256);
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          Zmm t[5];
          prefetch(g.next[r] + b * 256);
          decoder.decode(load(g.row[r] + b * 256), t);
          dot(ones[r], t[0], x0);
          dot(ones[r], t[1], x1);
          dot(ones[r], t[2], x2);
          dot(sixtyfours[r], t[3], x3);
          dot(ones[r], t[4], x4);
        });
      }
      Zmm s[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        s[r] = _mm512_add_epi32(ones[r], _mm512_srai_epi32(sixtyfours[r], 6));
      });
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 4 * i),
                       _mm_sub_epi32(sum4(s[0], s[1], s[2], s[3]), _mm_set1_epi32(sum)));
    }
  }

  static BITNET_INLINE void unpack(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
    const T5Decoder decoder;
    for (size_t b = 0; b < blocks; b++, group += 256) {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
        Zmm t[5];
        prefetch(group + 64 * r + ahead);
        decoder.decode(load(group + 64 * r), t);
        t[3] = _mm512_srli_epi16(t[3], 6);
        unroll<5>([&](auto f) BITNET_INLINE_LAMBDA {
          _mm512_storeu_si512(bytes + r * stride + b * t5::kBlockColumns + 64 * f, t[f]);
        });
      });
    }
  }
};

}  // namespace

extern const TernaryKernel kAvx512VbmiT5 = {
    "avx512-vbmi-t5", "t5", "avx512-vbmi",
    "Five weights a byte (1.6 bits), decoded by byte permutes and multiplied by vpdpbusd on 64-byte registers.",
    kAvx512Level, t5::packed_bytes, t5::pack, byte_gemm_scratch, t5_gemm<Avx512>, nullptr, nullptr, false,
    t5_gemv_rows<Avx512>,
};

}  // namespace bitnet
