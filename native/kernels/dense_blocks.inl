// Dense rows in blocks of small codes (ternary embeddings and heads, ggml's 4-bit types), written once over V: a
// block is unpacked to int8 codes, which are multiplied as floats. Include from an instruction set's dense_blocks.cpp after
// its float_vector.h.
//
// For every row and token, with 16 lanes and `span` vectors of 16 codes under one factor:
//
//   a = 0
//   for each factor f in rising order, its codes c_0.. and values x_0..:
//     s = c_0 * x_0;  s = fma(c_j, x_j, s) for j = 1 .. span - 1
//     a = fma(s, f, a)
//     types with minima m (weight = code * f - m):  a = fma(x_0 + x_1 + .., -m, a)
//   y = sum of the lanes of a

#include "kernels/float_lanes.inl"

namespace bitnet {
namespace {

constexpr size_t kMostBlockCodes = 256;
constexpr size_t kMostFactors = 8;

struct BlockType {
  size_t columns, bytes;
  size_t span;  // vectors of 16 codes per factor
  bool minima;
  // Codes of a block, its factors, and its minima where it has them.
  void (*unpack)(const uint8_t* block, int8_t* codes, float* factors, float* minima);
};

// Code - 1 of four bit pairs in each of n bytes, from the low bits up.
BITNET_INLINE void pairs_in_order(const uint8_t* in, size_t n, int8_t* codes) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t b = in[i], spread = (b | b << 6 | b << 12 | b << 18) & 0x03030303u;
    const uint32_t word = (spread + 0x7f7f7f7fu) ^ 0x80808080u;  // minus 1 in every byte
    memcpy(codes + 4 * i, &word, 4);
  }
}

// Digit `level` of byte b, five base-3 digits a byte as in formats/trits.h, goes to codes[level * n + b].
BITNET_INLINE void trit_run(const uint8_t* in, size_t n, size_t levels, int8_t* codes) {
  constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  for (size_t level = 0; level < levels; level++) {
    for (size_t b = 0; b < n; b++) {
      codes[level * n + b] = static_cast<int8_t>((static_cast<uint8_t>(in[b] * kPowers[level]) * 3 >> 8) - 1);
    }
  }
}

void unpack_q1_0(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block));
  for (size_t i = 0; i < 16; i++) {
    // Byte k keeps bit k, becomes 0 or 1, then -1 or 1.
    const uint64_t bits = (block[2 + i] * 0x0101010101010101ull) & 0x8040201008040201ull;
    const uint64_t ones = (bits + 0x7f7f7f7f7f7f7f7full) >> 7 & 0x0101010101010101ull;
    const uint64_t word = (2 * ones + 0x7f7f7f7f7f7f7f7full) ^ 0x8080808080808080ull;
    memcpy(codes + 8 * i, &word, 8);
  }
}

void unpack_q2_0_g64(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block));
  pairs_in_order(block + 2, 16, codes);
}

void unpack_q2_0_g128(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block));
  pairs_in_order(block + 2, 32, codes);
}

void unpack_tq1_0(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block + 52));
  trit_run(block, 32, 5, codes);
  trit_run(block + 32, 16, 5, codes + 160);
  trit_run(block + 48, 4, 4, codes + 240);
}

void unpack_ptq1_0(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block + 26));
  trit_run(block, 16, 5, codes);
  trit_run(block + 16, 8, 5, codes + 80);
  trit_run(block + 24, 2, 4, codes + 120);
}

void unpack_tq2_0(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block + 64));
  for (size_t h = 0; h < 2; h++) {
    for (size_t f = 0; f < 4; f++) {
      for (size_t b = 0; b < 32; b++) codes[128 * h + 32 * f + b] = static_cast<int8_t>((block[32 * h + b] >> (2 * f) & 3) - 1);
    }
  }
}

void unpack_q4_0(const uint8_t* block, int8_t* codes, float* factors, float*) {
  factors[0] = half_to_float(load_u16(block));
  for (size_t b = 0; b < 16; b++) {
    codes[b] = static_cast<int8_t>((block[2 + b] & 15) - 8);
    codes[16 + b] = static_cast<int8_t>((block[2 + b] >> 4) - 8);
  }
}

// Q4_K (ggml): f16 d and dmin, eight 6-bit scales and minima in 12 bytes, then four runs of 32 bytes, each two groups of
// 32 codes: low, then high nibbles.
void unpack_q4_k(const uint8_t* block, int8_t* codes, float* factors, float* minima) {
  const float d = half_to_float(load_u16(block)), d_min = half_to_float(load_u16(block + 2));
  const uint8_t* packed = block + 4;
  for (size_t g = 0; g < 8; g++) {
    const int scale = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
    const int minimum = g < 4 ? packed[g + 4] & 63 : packed[g + 4] >> 4 | packed[g] >> 6 << 4;
    factors[g] = d * static_cast<float>(scale);
    minima[g] = d_min * static_cast<float>(minimum);
  }
  for (size_t run = 0; run < 4; run++) {
    const uint8_t* in = block + 16 + 32 * run;
    for (size_t b = 0; b < 32; b++) {
      codes[64 * run + b] = static_cast<int8_t>(in[b] & 15);
      codes[64 * run + 32 + b] = static_cast<int8_t>(in[b] >> 4);
    }
  }
}

// Indexed by DenseType - kQ1_0.
constexpr BlockType kBlockTypes[] = {
    {128, 18, 8, false, unpack_q1_0},      {64, 18, 4, false, unpack_q2_0_g64}, {128, 34, 8, false, unpack_q2_0_g128},
    {256, 54, 16, false, unpack_tq1_0},    {256, 66, 16, false, unpack_tq2_0},  {128, 28, 8, false, unpack_ptq1_0},
    {32, 18, 2, false, unpack_q4_0},       {256, 144, 2, true, unpack_q4_k},
};

BITNET_INLINE const BlockType& block_type(DenseType type) {
  return kBlockTypes[static_cast<int>(type) - static_cast<int>(DenseType::kQ1_0)];
}

// R rows x T tokens; row(r) is the address of row r.
template <int R, int T, class Row>
BITNET_INLINE void block_tile(const BlockType& type, Row&& row, size_t n, const float* x, size_t ldx, float* y, size_t ldy) {
  V a[R][T];
  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { a[r][t] = V::zero(); }); });
  alignas(64) int8_t codes[kMostBlockCodes];
  float factors[kMostFactors], minima[kMostFactors];
  for (size_t i = 0, b = 0; i < n; i += type.columns, b++) {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      type.unpack(row(r) + b * type.bytes, codes, factors, minima);
      for (size_t k = 0, g = 0; k < type.columns; g++) {
        V s[T], xs[T];
        const V c0 = V::from_i8(codes + k);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          xs[t] = V::load(x + t * ldx + i + k);
          s[t] = V::mul(c0, xs[t]);
        });
        k += 16;
        for (size_t j = 1; j < type.span; j++, k += 16) {
          const V c = V::from_i8(codes + k);
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            const V v = V::load(x + t * ldx + i + k);
            s[t] = V::fma(c, v, s[t]);
            if (type.minima) xs[t] = V::add(xs[t], v);
          });
        }
        const V factor = V::set1(factors[g]);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          a[r][t] = V::fma(s[t], factor, a[r][t]);
          if (type.minima) a[r][t] = V::fma(xs[t], V::set1(-minima[g]), a[r][t]);
        });
      }
    });
  }
  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { y[t * ldy + r] = V::sum(a[r][t]); });
  });
}

}  // namespace

namespace BITNET_FLOATS {

void block_dense(DenseType dense_type, const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x,
                 size_t ldx, size_t tokens, float* y, size_t ldy) {
  const BlockType& type = block_type(dense_type);
  const size_t row_bytes = n / type.columns * type.bytes;
  for (size_t r = row_begin; r < row_end; r++) {
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + r * row_bytes; };
    size_t t = 0;
    for (; t + 4 <= tokens; t += 4) block_tile<1, 4>(type, row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
    for (; t < tokens; t++) block_tile<1, 1>(type, row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
  }
}

void block_dense_list(DenseType dense_type, const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x,
                      float* y) {
  const BlockType& type = block_type(dense_type);
  const size_t row_bytes = n / type.columns * type.bytes;
  for (size_t i = 0; i < count; i++) {
    if (i + 1 < count) {
      const uint8_t* next = w + static_cast<size_t>(ids[i + 1]) * row_bytes;
      for (size_t b = 0; b < row_bytes; b += 64) __builtin_prefetch(next + b);
    }
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + static_cast<size_t>(ids[i]) * row_bytes; };
    block_tile<1, 1>(type, row, n, x, 0, y + i, 0);
  }
}

// (code * factor - minimum) * scale
void block_row(DenseType dense_type, const uint8_t* w, size_t n, size_t row_index, float scale, float* out) {
  const BlockType& type = block_type(dense_type);
  const uint8_t* block = w + row_index * (n / type.columns * type.bytes);
  const V s = V::set1(scale);
  alignas(64) int8_t codes[kMostBlockCodes];
  float factors[kMostFactors], minima[kMostFactors];
  for (size_t i = 0; i < n; i += type.columns, block += type.bytes) {
    type.unpack(block, codes, factors, minima);
    for (size_t k = 0; k < type.columns; k += 16) {
      const size_t g = k / 16 / type.span;
      V v = V::mul(V::from_i8(codes + k), V::set1(factors[g]));
      if (type.minima) v = V::sub(v, V::set1(minima[g]));
      V::store(out + i + k, V::mul(v, s));
    }
  }
}

}  // namespace BITNET_FLOATS
}  // namespace bitnet
