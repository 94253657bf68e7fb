// avx512-columns: eight live columns at a time.
//
// Four columns' 64-byte blocks are interleaved by unpacking (8 operations), so that every dword holds one row's bytes of
// the four; vpdpbusd then adds four products per lane with the four activations broadcast. Fields are masked in place:
// the sums of field f carry the factor 4^f, undone at the end. Accumulators live in L1 (16 registers per block of 256
// rows), loaded and stored once per eight columns. Per 512 bytes (2048 weights): 8 loads, 16 unpacks, 32 ANDs, 32
// vpdpbusd, 16 loads and stores of sums, 8 prefetches.
#include "kernels/avx512/zmm.h"
#include "kernels/column_kernel.h"

namespace bitnet {
namespace {

constexpr size_t kColumns = 8;
constexpr size_t kAhead = 24;   // columns prefetched ahead
constexpr size_t kBlocks = 16;  // most blocks whose sums are kept at a time: 16 KiB of L1

size_t nonzero(const int8_t* values, size_t n, int32_t* ids) {
  size_t count = 0, i = 0;
  for (; i + 64 <= n; i += 64) {
    uint64_t mask = _mm512_test_epi8_mask(load(values + i), load(values + i));
    while (mask) {
      ids[count++] = static_cast<int32_t>(i) + __builtin_ctzll(mask);
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
  alignas(64) Zmm sums[kBlocks * 16];
  const size_t blocks = block_end - block_begin;
  for (size_t i = 0; i < blocks * 16; i++) sums[i] = _mm512_setzero_si512();
  const Zmm m0 = _mm512_set1_epi8(0x03), m1 = _mm512_set1_epi8(0x0c), m2 = _mm512_set1_epi8(0x30),
            m3 = _mm512_set1_epi8(static_cast<char>(0xc0));
  int32_t total = 0;
  for (size_t i = 0; i < count; i += kColumns) {
    const uint8_t *column[kColumns], *next[kColumns];
    alignas(8) int8_t x[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      const auto id = static_cast<size_t>(ids[i + c < count ? i + c : count - 1]);
      const auto later = static_cast<size_t>(ids[i + c + kAhead < count ? i + c + kAhead : count - 1]);
      column[c] = packed + id * stride + block_begin * 64;
      next[c] = packed + later * stride + block_begin * 64;
      x[c] = i + c < count ? values[id] : static_cast<int8_t>(0);
      total += x[c];
    }
    int32_t x_low, x_high;
    __builtin_memcpy(&x_low, x, 4);
    __builtin_memcpy(&x_high, x + 4, 4);
    const Zmm a[2] = {_mm512_set1_epi32(x_low), _mm512_set1_epi32(x_high)};
    for (size_t b = 0; b < blocks; b++) {
      Zmm q[2][4];
      unroll<2>([&](auto g) BITNET_INLINE_LAMBDA {
        const Zmm v0 = load(column[4 * g] + b * 64), v1 = load(column[4 * g + 1] + b * 64),
                  v2 = load(column[4 * g + 2] + b * 64), v3 = load(column[4 * g + 3] + b * 64);
        unroll<4>([&](auto c) BITNET_INLINE_LAMBDA { prefetch(next[4 * g + c] + b * 64); });
        const Zmm p0 = _mm512_unpacklo_epi8(v0, v1), p1 = _mm512_unpackhi_epi8(v0, v1);
        const Zmm p2 = _mm512_unpacklo_epi8(v2, v3), p3 = _mm512_unpackhi_epi8(v2, v3);
        q[g][0] = _mm512_unpacklo_epi16(p0, p2);
        q[g][1] = _mm512_unpackhi_epi16(p0, p2);
        q[g][2] = _mm512_unpacklo_epi16(p1, p3);
        q[g][3] = _mm512_unpackhi_epi16(p1, p3);
      });
      Zmm* s = sums + b * 16;
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
        Zmm s0 = s[4 * j], s1 = s[4 * j + 1], s2 = s[4 * j + 2], s3 = s[4 * j + 3];
        unroll<2>([&](auto g) BITNET_INLINE_LAMBDA {
          dot(s0, _mm512_and_si512(q[g][j], m0), a[g]);
          dot(s1, _mm512_and_si512(q[g][j], m1), a[g]);
          dot(s2, _mm512_and_si512(q[g][j], m2), a[g]);
          dot(s3, _mm512_and_si512(q[g][j], m3), a[g]);
        });
        s[4 * j] = s0;
        s[4 * j + 1] = s1;
        s[4 * j + 2] = s2;
        s[4 * j + 3] = s3;
      });
    }
  }
  // Unpacking works within 16-byte lanes: dword d of lane l of register (j, f) is row 64f + 16l + 4j + d of its block.
  const __m128i sum = _mm_set1_epi32(total);
  for (size_t b = 0; b < blocks; b++) {
    int32_t* out = y + (block_begin + b) * kColumnBlockRows;
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
        const Zmm v = _mm512_srai_epi32(sums[b * 16 + 4 * j + f], 2 * f);
        unroll<4>([&](auto l) BITNET_INLINE_LAMBDA {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 64 * f + 16 * l + 4 * j),
                           _mm_sub_epi32(_mm512_extracti32x4_epi32(v, l), sum));
        });
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

extern const ColumnKernel kAvx512Columns = {"avx512-columns", "avx512-vnni", kAvx512Level, nonzero, gemv};

}  // namespace bitnet
