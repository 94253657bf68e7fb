// Attention over int8 keys and values, written once over V and ByteSums. Include from an instruction set's attention_int8.cpp
// after its float_vector.h and byte_sums.h.
//
// Both products are sums of products of bytes, exact on every instruction set:
//
//   score  = (sum over dimensions of query code * key code) * scale of the key, later * scale of the query / sqrt(head_dim)
//   output = sum over spans of (sum over the span's positions of weight code * value code) * scale of the weights
//
// A query is coded as a key is, 127 for its largest magnitude. Weights are exponentials times the scales of their values; in a
// span of 64 positions the largest is coded as 255 and the others to the nearest, so that one position of great weight, as
// the first of a text often is, takes nothing from the others' precision (by head and token, and by span, as Zhang et al.
// 2024, SageAttention, do). What a position weighs in the sum that divides the output stays exact.
// Spans begin at multiples of 64 positions of the sequence: a query's bits don't depend on which queries and positions it is
// worked on with.
//
// By count, 12 queries, 32 positions and 128 dimensions with AVX-512: 768 vpdpbusd for the scores, 2 loads and 12
// broadcasts for each 24; as many for the output, 4 loads and 6 broadcasts each; floats would take 3,072 multiply-adds.
//
// ByteSums, 16 sums of products of bytes, four a lane:
//
//   keys(p) values(p): 64 stored bytes          query(p) weights(p): 4 codes, for all lanes
//   score_start(sum of the query's codes) value_start(sum of the weights' codes)
//   add_keys(keys, query) add_values(values, weights)          floats()
//   kWeightSums: value_start uses its argument
//   kScoreRows, kScoreVectors (1 or 2), kValueRows, kValueVectors: tiles that fit the registers

#include "kernels/attention_queries.inl"

namespace bitnet {
namespace {

// ---- queries -------------------------------------------------------------------------------------------------------------

constexpr size_t kSpanBlocks = kKvSpan / kKvBlock;

struct CodedQueries : Queries {
  uint8_t* codes;  // [row tile][dimension / 4][row of the tile][4]
  int32_t* sums;   // of each query's codes
  float* scales;   // what scores are multiplied with, their keys' scales apart; later what outputs are

  BITNET_INLINE size_t last_block() const { return (end - 1) / kKvBlock; }
};

constexpr float kLog2E = 1.44269504088896341f;  // weights are powers of two

BITNET_INLINE void code_queries(const CodedQueries& s) {
  const size_t stride = s.a.head_stride;
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    uint8_t* out = s.codes + row * stride;
    for (size_t m = 0; m < M; m++) {
      const float* q = s.query(row + m);
      const CodeScale scale = code_scale(q, stride);
      V sum = V::zero();
      for (size_t d = 0; d < stride; d += 16) {
        alignas(16) int8_t codes[16];
        V::to_i8(codes, scale.codes(V::load(q + d)));
        for (size_t i = 0; i < 16; i += 4) memcpy(out + ((d + i) * M + m * 4), codes + i, 4);
        sum = V::add(sum, V::from_i8(codes));
      }
      s.sums[row + m] = static_cast<int32_t>(V::sum(sum));
      s.scales[row + m] = scale.scale * (s.a.scale * kLog2E);
    }
  };
  row_tiles<ByteSums::kScoreRows>(0, s.rows, tile);
}

// ---- scores --------------------------------------------------------------------------------------------------------------

BITNET_INLINE const float* kv_scales(const uint8_t* plane, size_t stride) {
  return reinterpret_cast<const float*>(plane + kv_scales_offset(stride));
}

// Scores of M queries with 16 N positions of a block; `keys` at the first of them, of four dimensions.
template <int M, int N, bool Ahead>
BITNET_INLINE void score_tile(const uint8_t* q, const int32_t* q_sums, size_t dims, const uint8_t* keys, const uint8_t* ahead,
                              ByteSums (&sums)[M][N]) {
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = ByteSums::score_start(q_sums[m]); });
  });
  for (size_t d = 0; d < dims; d += 4, keys += 4 * kKvBlock, q += 4 * M) {
    typename ByteSums::Bytes k[N];
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA {
      if constexpr (Ahead) fetch(ahead + d * kKvBlock + 64 * n);
      k[n] = ByteSums::keys(keys + 64 * n);
    });
    unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
      const auto four = ByteSums::query(q + 4 * m);
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n].add_keys(k[n], four); });
    });
    no_loads_ahead();
  }
}

// Scores of a block; the next block is fetched meanwhile.
void score_block(const CodedQueries& s, size_t block, const uint8_t* ahead) {
  constexpr int N = ByteSums::kScoreVectors;
  const AttentionArgs& a = s.a;
  const size_t begin = block * kKvBlock, stride = a.head_stride;
  const uint8_t* keys = a.keys[block];
  const float* scales = kv_scales(keys, stride);
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    if (s.until(row + M - 1) <= begin || s.from(row) >= begin + kKvBlock) return;
    for (size_t p = 0; p < kKvBlock; p += 16 * N) {
      ByteSums sums[M][N];
      const uint8_t* q = s.codes + row * stride;
      if (row == 0) {
        score_tile<M, N, true>(q, s.sums + row, stride, keys + 4 * p, ahead + 4 * p, sums);
      } else {
        score_tile<M, N, false>(q, s.sums + row, stride, keys + 4 * p, ahead, sums);
      }
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA {
        const V factor = V::load(scales + p + 16 * n);
        unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
          V::store(s.weights(row + m) + begin + p + 16 * n, V::mul(sums[m][n].floats(), factor));
        });
      });
    }
  };
  for (size_t i = 0; i < kKvBlock * sizeof(float); i += 64) fetch(ahead + kv_scales_offset(stride) + i);
  row_tiles<ByteSums::kScoreRows>(0, s.rows, tile);
}

// ---- weights -------------------------------------------------------------------------------------------------------------

// The weights of a query for a span stand over the scores they come from: kKvSpan codes, a float, their scale, and the sum
// of the codes, where ByteSums wants it.
constexpr size_t kWeightScale = kKvSpan, kWeightSum = kWeightScale + sizeof(float), kWeightBytes = kWeightSum + sizeof(int32_t);
static_assert(kWeightBytes <= kKvSpan * sizeof(float), "would overwrite scores that are still to be read");

BITNET_INLINE uint8_t* span_weights(const Queries& s, size_t row, size_t span) {
  return reinterpret_cast<uint8_t*>(s.weights(row)) + span * kWeightBytes;
}

// 2^x for x up to 0, a little above where that is rounded up: 0 below -126 and of a NaN; relative error 1.3e-7.
BITNET_INLINE V power_of_two(V x) {
  const V low = V::set1(-126.0f), magic = V::set1(12582912.0f);
  const V clamped = V::max(x, low), rounded = V::add(clamped, magic), r = V::sub(clamped, V::sub(rounded, magic));
  // Of least relative error for |r| <= 1/2.
  V p = V::set1(1.3276472454890609e-3f);
  p = V::fma(p, r, V::set1(9.675540961325169e-3f));
  p = V::fma(p, r, V::set1(5.550713092088699e-2f));
  p = V::fma(p, r, V::set1(2.4022120237350464e-1f));
  p = V::fma(p, r, V::set1(6.931469440460205e-1f));
  p = V::fma(p, r, V::set1(1.0f));
  return V::keep_if_ge(V::times_pow2(p, rounded), x, low);
}

// Scores to the weights of spans first .. last. Returns 1 / the sum of the exponentials.
BITNET_INLINE float weigh(const CodedQueries& s, size_t row, size_t first, size_t last) {
  // Weights below are taken for zero: 255 / this is a float.
  constexpr float kLeastWeight = 1e-35f;
  constexpr int kVectors = kKvSpan / 16;
  const AttentionArgs& a = s.a;
  float* w = s.weights(row);
  const size_t first_span = s.from(row) / kKvSpan, last_span = (s.until(row) - 1) / kKvSpan;
  const float largest = largest_score(s, row, first_span * kKvSpan, (last_span + 1) * kKvSpan);
  const V factor = V::set1(s.scales[row]), base = V::sub(V::zero(), V::mul(V::set1(largest), factor));
  V total = V::zero();
  auto nothing = [&](size_t span) BITNET_INLINE_LAMBDA { memset(span_weights(s, row, span), 0, kWeightBytes); };
  // Other queries of a tile may attend spans that this one doesn't.
  for (size_t i = first; i < first_span; i++) nothing(i);
  for (size_t i = first_span; i <= last_span; i++) {
    V weights[kVectors], most = V::zero();
    unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA {
      constexpr size_t block = 16 * decltype(v)::value / kKvBlock, place = 16 * decltype(v)::value % kKvBlock;
      // A last span may lack its second block.
      const uint8_t* plane = a.values[smaller(i * kSpanBlocks + block, s.last_block())];
      const V e = power_of_two(V::fma(V::load(w + i * kKvSpan + 16 * v), factor, base));
      total = V::add(total, e);
      weights[v] = V::mul(e, V::load(kv_scales(plane, a.head_stride) + place));
      most = V::max(weights[v], most);
    });
    const float range = V::maximum(most), used = range > kLeastWeight ? range : kLeastWeight, scale = used * (1.0f / 255.0f);
    const V inverse = V::set1(255.0f / used);
    uint8_t* out = span_weights(s, row, i);
    // A NaN, of what lies beyond `until`, becomes 0; none is above 255.
    unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA {
      V::to_u8(out + 16 * v, V::max(V::mul(weights[v], inverse), V::zero()));
    });
    memcpy(out + kWeightScale, &scale, sizeof(scale));
    if constexpr (ByteSums::kWeightSums) {
      int32_t sum = 0;
      for (size_t p = 0; p < kKvSpan; p++) sum += out[p];
      memcpy(out + kWeightSum, &sum, sizeof(sum));
    }
  }
  for (size_t i = last_span + 1; i <= last; i++) nothing(i);
  return 1.0f / V::sum(total);
}

// ---- outputs -------------------------------------------------------------------------------------------------------------

// out += weights * values for M queries, a span and 16 N dimensions. `values`: the planes of its blocks, of which the last may
// be missing; what is fetched: those of the next span.
template <int M, int N>
BITNET_INLINE void value_tile(const uint8_t* const* w, const uint8_t* const* values, size_t blocks, size_t offset,
                              size_t row_bytes, const uint8_t* const* ahead, float* out, size_t out_stride) {
  ByteSums sums[M][N];
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
    int32_t sum = 0;
    if constexpr (ByteSums::kWeightSums) memcpy(&sum, w[m] + kWeightSum, sizeof(sum));
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = ByteSums::value_start(sum); });
  });
  for (size_t b = 0; b < blocks; b++) {
    const uint8_t* plane = values[b] + offset;
    const uint8_t* next = ahead ? ahead[b] + offset : nullptr;
    for (size_t p = 0; p < kKvBlock; p += 4, plane += row_bytes) {
      typename ByteSums::Bytes v[N];
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA {
        if (next) fetch(next + p / 4 * row_bytes + 64 * n);
        v[n] = ByteSums::values(plane + 64 * n);
      });
      unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
        const auto four = ByteSums::weights(w[m] + b * kKvBlock + p);
        unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n].add_values(v[n], four); });
      });
      no_loads_ahead();
    }
  }
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
    float f;
    memcpy(&f, w[m] + kWeightScale, sizeof(f));
    const V scale = V::set1(f);
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA {
      float* o = out + m * out_stride + 16 * n;
      V::store(o, V::fma(scale, sums[m][n].floats(), V::load(o)));
    });
  });
}

void value_span(const CodedQueries& s, size_t span) {
  constexpr int N = ByteSums::kValueVectors;
  const AttentionArgs& a = s.a;
  const size_t begin = span * kKvSpan, stride = a.head_stride, first = span * kSpanBlocks, last = s.last_block();
  const size_t blocks = smaller(kSpanBlocks, last + 1 - first);
  const uint8_t* ahead[kSpanBlocks];
  for (size_t b = 0; b < kSpanBlocks; b++) ahead[b] = a.values[smaller(first + kSpanBlocks + b, last)];
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    if (s.until(row + M - 1) <= begin || s.from(row) >= begin + kKvSpan) return;
    const uint8_t* w[M];
    for (size_t m = 0; m < M; m++) w[m] = span_weights(s, row + m, span);
    auto part = [&](auto vectors, size_t d) BITNET_INLINE_LAMBDA {
      value_tile<M, decltype(vectors)::value>(w, a.values + first, blocks, 4 * d, 4 * stride, row == 0 ? ahead : nullptr,
                                              s.out(row) + d, stride);
    };
    size_t d = 0;
    for (; d + 16 * N <= stride; d += 16 * N) part(std::integral_constant<int, N>{}, d);
    if constexpr (N > 1) {
      for (; d < stride; d += 16) part(std::integral_constant<int, 1>{}, d);
    }
  };
  row_tiles<ByteSums::kValueRows>(0, s.rows, tile);
}

}  // namespace

// ---- all together --------------------------------------------------------------------------------------------------------

namespace BITNET_FLOATS {

void int8_attention(const AttentionArgs& a) {
  const size_t rows = a.tokens * a.heads, code_floats = rows * a.head_stride / sizeof(float);
  const CodedQueries s{{a, rows, a.positions + a.tokens - 1},
                       reinterpret_cast<uint8_t*>(a.scratch),
                       reinterpret_cast<int32_t*>(a.scratch + code_floats),
                       a.scratch + code_floats + rows};
  code_queries(s);
  const size_t first = s.from(0) / kKvBlock, last = s.last_block();
  // The planes of one head lie megabytes apart: the CPU's own prefetching ends with each.
  for (size_t b = first; b <= last; b++) score_block(s, b, b < last ? a.keys[b + 1] : a.values[first]);
  clear_outputs(s);
  const size_t first_span = first / kSpanBlocks, last_span = last / kSpanBlocks;
  for (size_t r = 0; r < rows; r++) s.scales[r] = weigh(s, r, first_span, last_span);
  for (size_t i = first_span; i <= last_span; i++) value_span(s, i);
  scale_outputs(s, s.scales);
}

}  // namespace BITNET_FLOATS
}  // namespace bitnet
