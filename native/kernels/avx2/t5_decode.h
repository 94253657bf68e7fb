// Decoding five weights a byte (t5_layout.h) on 32-byte registers with 16-entry look-ups (force-inlined: see inline.h).
//
// 21 operations per 32 bytes (160 weights). byte = 28 * high + low: the high nibble n tells high to within one and
// r = byte - 28 * floor(16 * n / 28) lies in 0..42, so one comparison settles both (9 operations); high is 0..8, a
// direct look-up gives t3 and t4 (2); low is 0..26, a look-up in two halves gives its digits in bit pairs (5 + 5).
#pragma once

#include "kernels/avx2/ymm.h"
#include "kernels/t5_layout.h"

namespace bitnet {
namespace {

struct T5Ymm {
  // 16 bytes each, the same in both lanes.
  alignas(16) uint8_t high[16], base[16], t3[16], t4[16], low_digits[16], high_digits[16];
};

constexpr T5Ymm make_t5_ymm() {
  T5Ymm t{};
  for (int i = 0; i < 16; i++) {
    const int high = 16 * i / 28;
    t.high[i] = static_cast<uint8_t>(high);
    t.base[i] = static_cast<uint8_t>(28 * high);
    t.t3[i] = static_cast<uint8_t>(i % 3);
    t.t4[i] = static_cast<uint8_t>(i / 3);
    t.low_digits[i] = static_cast<uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 << 4);
    const int s = i + 16;
    t.high_digits[i] = static_cast<uint8_t>(s % 3 | s / 3 % 3 << 2 | s / 9 << 4);
  }
  return t;
}

constexpr T5Ymm kT5Ymm = make_t5_ymm();

BITNET_INLINE Ymm look_up(const uint8_t (&table)[16], Ymm index) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))), index);
}

// Codes t[0..4], all 0..2, of 32 bytes.
BITNET_INLINE void decode_t5(Ymm v, Ymm t[5]) {
  const Ymm three = _mm256_set1_epi8(3), step = _mm256_set1_epi8(28);
  const Ymm n = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
  const Ymm r = _mm256_sub_epi8(v, look_up(kT5Ymm.base, n));
  const Ymm high = _mm256_sub_epi8(look_up(kT5Ymm.high, n), _mm256_cmpgt_epi8(r, _mm256_set1_epi8(27)));
  const Ymm low = _mm256_min_epu8(r, _mm256_sub_epi8(r, step));
  // An index with bit 7 set looks up 0: below 16 that is the second look-up's, from 16 on the first one's.
  const Ymm digits = _mm256_or_si256(look_up(kT5Ymm.low_digits, _mm256_add_epi8(low, _mm256_set1_epi8(0x70))),
                                     look_up(kT5Ymm.high_digits, _mm256_sub_epi8(low, _mm256_set1_epi8(16))));
  t[0] = _mm256_and_si256(digits, three);
  t[1] = _mm256_and_si256(_mm256_srli_epi16(digits, 2), three);
  t[2] = _mm256_and_si256(_mm256_srli_epi16(digits, 4), three);
  t[3] = look_up(kT5Ymm.t3, high);
  t[4] = look_up(kT5Ymm.t4, high);
}

// A block to one byte a code, in natural order.
struct UnpackT5 {
  BITNET_INLINE void operator()(const uint8_t* block, uint8_t* out) const {
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      Ymm t[5];
      decode_t5(load(block + 32 * h), t);
      unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { _mm256_storeu_si256(reinterpret_cast<Ymm*>(out + 64 * f + 32 * h), t[f]); });
    });
  }
};

}  // namespace
}  // namespace bitnet
