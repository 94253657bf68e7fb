// What products by input (columns.inl) need of 32-byte registers, for avx2-columns and avx-vnni-columns: two bits a weight,
// since decoding five weights a byte takes too many operations here.
#pragma once

#include "kernels/avx2/ymm.h"

#include "kernels/columns.inl"

namespace bitnet {
namespace {

struct YmmColumns {
  using Vector = Ymm;
  static constexpr size_t kBytes = 32, kFields = 4, kColumns = 4, kAhead = 16;
  // Measured with vpmaddubsw.
  static constexpr double kUnpackCost = 1.2, kTokenCost = 0.43;
  static constexpr size_t kRows = 32, kPanelColumns = 640, kFewPanelColumns = 64;

  static BITNET_INLINE void fetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
  static BITNET_INLINE Ymm zero() { return _mm256_setzero_si256(); }
  static BITNET_INLINE Ymm load(const void* p) { return bitnet::load(p); }
  static BITNET_INLINE void store(void* p, Ymm v) { _mm256_store_si256(static_cast<Ymm*>(p), v); }
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

  static BITNET_INLINE void unpack(Ymm v, Ymm (&codes)[4]) {
    unroll<4>([&](auto f) BITNET_INLINE_LAMBDA { codes[f] = field<decltype(f)::value>(v); });
  }

  static BITNET_INLINE void store_sums(Ymm v, Ymm base, int32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<Ymm*>(out), _mm256_add_epi32(v, base));
  }

  // The four registers of codes of 4 columns x 32 rows, in the order of rows.
  static BITNET_INLINE Ymm panel_register(const uint8_t* line, size_t r) {
    return load(line + r / 2 * kColumnTile + r % 2 * kBytes);
  }
};

// What `multiply` reads and writes for the T tokens behind these, into L1: rows of x and y lie kilobytes apart, where the CPU
// prefetches nothing by itself. Behind the last token nothing of it is used.
template <int T>
BITNET_INLINE void fetch_tokens(const int8_t* x, size_t stride, size_t columns, const int32_t* y, size_t ldy) {
  const auto *inputs = reinterpret_cast<const uint8_t*>(x), *sums = reinterpret_cast<const uint8_t*>(y);
  for (size_t t = T; t < 2 * T; t++) {
    for (size_t b = 0; b < YmmColumns::kRows * sizeof(int32_t); b += 64) prefetch(sums + t * ldy * sizeof(int32_t) + b);
    for (size_t k = 0; k < columns; k += 64) prefetch(inputs + t * stride + k);
  }
}

BITNET_INLINE Ymm broadcast_four(const int8_t* x) { return _mm256_set1_epi32(load_four_bytes(x)); }

}  // namespace
}  // namespace bitnet
