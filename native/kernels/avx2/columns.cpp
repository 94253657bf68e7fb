// avx2-columns: four live columns at a time, 32 bytes of a block (half of its rows) per step.
//
// Like avx512/columns.cpp, with vpmaddubsw and vpmaddwd in the place of vpdpbusd: two codes of at most 2 (12 in place for
// the odd fields, after one shift by 4 for the upper two) times two activations stay below 2 * 8 * 128 = 2048.
#include "kernels/avx2/ymm.h"
#include "kernels/column_kernel.h"

namespace bitnet {
namespace {

constexpr size_t kColumns = 4;
constexpr size_t kAhead = 16;
constexpr size_t kBlocks = 16;

size_t nonzero(const int8_t* values, size_t n, int32_t* ids) {
  size_t count = 0, i = 0;
  for (; i + 32 <= n; i += 32) {
    uint32_t mask = ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(values + i), _mm256_setzero_si256())));
    while (mask) {
      ids[count++] = static_cast<int32_t>(i) + __builtin_ctz(mask);
      mask &= mask - 1;
    }
  }
  for (; i < n; i++) {
    if (values[i]) ids[count++] = static_cast<int32_t>(i);
  }
  return count;
}

void run(const uint8_t* packed, size_t stride, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
         size_t block_begin, size_t block_end) {
  alignas(32) Ymm sums[kBlocks * 32];
  const size_t halves = (block_end - block_begin) * 2;
  for (size_t i = 0; i < halves * 16; i++) sums[i] = _mm256_setzero_si256();
  const Ymm m0 = _mm256_set1_epi8(0x03), m1 = _mm256_set1_epi8(0x0c), ones = _mm256_set1_epi16(1);
  int32_t total = 0;
  for (size_t i = 0; i < count; i += kColumns) {
    const uint8_t *column[kColumns], *next[kColumns];
    alignas(4) int8_t x[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      const auto id = static_cast<size_t>(ids[i + c < count ? i + c : count - 1]);
      const auto later = static_cast<size_t>(ids[i + c + kAhead < count ? i + c + kAhead : count - 1]);
      column[c] = packed + id * stride + block_begin * 64;
      next[c] = packed + later * stride + block_begin * 64;
      x[c] = i + c < count ? values[id] : static_cast<int8_t>(0);
      total += x[c];
    }
    int32_t x_bits;
    __builtin_memcpy(&x_bits, x, 4);
    const Ymm a = _mm256_set1_epi32(x_bits);
    for (size_t h = 0; h < halves; h++) {
      const Ymm v0 = load(column[0] + h * 32), v1 = load(column[1] + h * 32), v2 = load(column[2] + h * 32),
                v3 = load(column[3] + h * 32);
      if (h % 2 == 0) unroll<4>([&](auto c) BITNET_INLINE_LAMBDA { prefetch(next[c] + h * 32); });
      const Ymm p0 = _mm256_unpacklo_epi8(v0, v1), p1 = _mm256_unpackhi_epi8(v0, v1);
      const Ymm p2 = _mm256_unpacklo_epi8(v2, v3), p3 = _mm256_unpackhi_epi8(v2, v3);
      const Ymm q[4] = {_mm256_unpacklo_epi16(p0, p2), _mm256_unpackhi_epi16(p0, p2), _mm256_unpacklo_epi16(p1, p3),
                        _mm256_unpackhi_epi16(p1, p3)};
      Ymm* s = sums + h * 16;
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
        const Ymm high = _mm256_srli_epi16(q[j], 4);
        auto add = [&](int f, Ymm codes) BITNET_INLINE_LAMBDA {
          s[4 * j + f] = _mm256_add_epi32(s[4 * j + f], _mm256_madd_epi16(_mm256_maddubs_epi16(codes, a), ones));
        };
        add(0, _mm256_and_si256(q[j], m0));
        add(1, _mm256_and_si256(q[j], m1));
        add(2, _mm256_and_si256(high, m0));
        add(3, _mm256_and_si256(high, m1));
      });
    }
  }
  const __m128i sum = _mm_set1_epi32(total);
  for (size_t h = 0; h < halves; h++) {
    int32_t* out = y + (block_begin + h / 2) * kColumnBlockRows + h % 2 * 32;
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
        const Ymm v = _mm256_srai_epi32(sums[h * 16 + 4 * j + f], 2 * (f % 2));
        auto* p = reinterpret_cast<__m128i*>(out + 64 * f + 4 * j);
        _mm_storeu_si128(p, _mm_sub_epi32(_mm256_castsi256_si128(v), sum));
        _mm_storeu_si128(p + 4, _mm_sub_epi32(_mm256_extracti128_si256(v, 1), sum));
      });
    });
  }
}

void gemv(const uint8_t* packed, size_t rows, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
          size_t block_begin, size_t block_end) {
  const size_t stride = round_up(rows, kColumnBlockRows) / kColumnBlockRows * 64;
  for (size_t b = block_begin; b < block_end; b += kBlocks) {
    run(packed, stride, values, ids, count, y, b, b + kBlocks < block_end ? b + kBlocks : block_end);
  }
}

}  // namespace

extern const ColumnKernel kAvx2Columns = {"avx2-columns", "avx2", kAvx2Level, nonzero, gemv};

}  // namespace bitnet
