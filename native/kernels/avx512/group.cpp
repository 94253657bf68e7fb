// avx512-vnni-group: codes of 2, 4 or 8 bits with a scale per group, vpdpbusd on 64-byte registers, one row a lane.
//
// Per line of 64 bytes (256, 128 or 64 weights): 1 load, 1 prefetch, 4 + 3, 2 + 1 or 0 ands and shifts, and 4, 2 or 1
// vpdpbusd per token with four activations broadcast from memory. Per group and token: 1 multiply-free correction by the
// zero, 1 conversion, 1 fused multiply-add.
#include "kernels/avx512/group_zmm.h"


#include "kernels/group_gemm.inl"

namespace bitnet {
namespace {

struct Avx512 : GroupZmm {
  static constexpr int kTokens = 8;

  static BITNET_INLINE void dot_broadcast(Zmm& sum, Zmm codes, const int8_t* x) {
#if defined(__GNUC__) && !defined(__clang__)
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const int32_t(*)>(x)));
#else
    sum = _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(load_four_bytes(x)));
#endif
  }

  template <int Bits, int T>
  static BITNET_INLINE void step(const uint8_t* w, const int8_t* x, size_t stride, Ints a[T][2]) {
    constexpr int kFields = 8 / Bits;
    const Zmm mask = _mm512_set1_epi8(static_cast<char>((1 << Bits) - 1));
    unroll<4 / kFields>([&](auto line) BITNET_INLINE_LAMBDA {
      const Zmm v = load(w + 64 * line);
      unroll<kFields>([&](auto field) BITNET_INLINE_LAMBDA {
        constexpr int kLine = decltype(line)::value, kField = decltype(field)::value, kPart = kLine * kFields + kField;
        Zmm codes = v;
        if constexpr (kField > 0) codes = _mm512_srli_epi16(v, Bits * kField);
        if constexpr (Bits < 8) codes = _mm512_and_si512(codes, mask);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { dot_broadcast(a[t][kPart % 2], codes, x + t * stride + 4 * kPart); });
      });
    });
  }
};

}  // namespace

extern const GroupKernel kAvx512VnniGroup = {
    "avx512-vnni-group", "group", "avx512-vnni",
    "Codes of 2, 4 or 8 bits with a scale per group, vpdpbusd on 64-byte registers, one row a lane.",
    kAvx512Level, grouped::supports, grouped::packed_bytes, grouped::pack, group_scratch<Avx512>, group_gemm<Avx512>,
    nullptr, nullptr,
};

}  // namespace bitnet
