// Float operations of the forward pass, one table per instruction set, the same bits on all of them.
//
// The exactness contract: every reduction runs in 16 lanes (element i goes to lane i % 16, in rising order, with fused
// multiply-add) and ends in the tree lane i + lane i+8, then +4, +2, +1; but the products of attention sum in rising
// order. Element-wise operations are the same IEEE operations in the same order everywhere; nothing is contracted,
// reassociated or approximated by the hardware (no rsqrt, no rcp). float_ops.inl, attention.inl, attention_int8.inl,
// dense.inl and dense_blocks.inl state the algorithms once over a 16-lane vector type; with that of scalar/float_vector.h, plain floats,
// they are the specification.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/kernel.h"

namespace bitnet {

// A row of activations quantised to int8: value = q * scale.
struct QuantizedRow {
  float scale;  // max(max|x|, 1e-5) / 127
  int32_t sum;  // of the int8 values
};

enum class Activation { kRelu2, kSilu, kGelu };
enum class KvType { kF32, kF16, kInt8 };
// Storage of matrices that are multiplied with float activations (embedding, head). From kQ1_0 on: blocks of small codes,
// in the order of dense_blocks.inl's table.
enum class DenseType {
  kF32, kF16, kBf16, kQ8_0, kQ6_K, kQ1_0, kQ2_0G64, kQ2_0G128, kTq1_0, kTq2_0, kPtq1_0, kQ4_0, kQ4_K
};

constexpr size_t kKvBlock = 32;  // positions in a block of the KV cache
constexpr size_t kKvSpan = 64;   // positions whose weights share a scale where planes are int8; a call's keys begin with one

// How the cache holds the keys or values of one head in a block, a "plane": kKvBlock * `stride` elements, stride = head_dim
// rounded up to 16; keys dimension after dimension (of all positions), values position after position.
// An int8 plane holds what is multiplied four at a time side by side: of keys four dimensions, [dimension / 4][position][4]
// as code + kKeyOffset; of values four positions, [position / 4][dimension][4]. kKvBlock floats follow, the scale of each
// position: its largest magnitude over 127.
constexpr int kKeyOffset = 128;  // products of bytes want one of them unsigned
constexpr size_t kv_bytes(KvType type) { return type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1; }
constexpr size_t kv_scales_offset(size_t stride) { return kKvBlock * stride; }
constexpr size_t kv_plane_bytes(KvType type, size_t stride) {
  return kKvBlock * (stride * kv_bytes(type) + (type == KvType::kInt8 ? sizeof(float) : 0));
}

// Attention of consecutive tokens of one sequence, for query heads that share a KV head.
struct AttentionArgs {
  const float* q;              // [tokens][token_stride]: [heads][head_stride], zero beyond head_dim
  size_t heads;
  size_t head_stride;          // head_dim rounded up to 16
  size_t tokens, token_stride;
  const uint8_t* const* keys;  // per block: a plane (see above) of `type`; all tokens are stored already
  const uint8_t* const* values;
  size_t positions;            // the first token attends positions 0 .. positions - 1, each later one another one
  size_t window;               // but none attends more than the last `window` of them; SIZE_MAX: all
  KvType type;
  float scale;                 // 1 / sqrt(head_dim), at least 0
  float* scores;               // scratch [tokens * heads][scores_stride]
  size_t scores_stride;        // attention_scores_stride(positions of the last token), at least
  float* scratch;              // attention_scratch(tokens * heads, head_stride) floats
  float* out;                  // [tokens * heads][head_stride]
};

// Whole spans, and one cache line so that not all rows begin in the same set of a cache.
constexpr size_t attention_scores_stride(size_t positions) { return round_up(positions, kKvSpan) + 16; }
constexpr size_t attention_scratch(size_t rows, size_t head_stride) { return (rows + kKvBlock) * head_stride + rows; }

struct FloatOps {
  const char* level;  // "scalar", "avx2", "avx-vnni", "avx512", "neon", "neon-dotprod"
  CpuFeatures required;

  // out = x / sqrt(mean(x^2) + epsilon) * weight  (Zhang & Sennrich 2019). In place allowed.
  void (*rms_norm)(const float* x, const float* weight, size_t n, float epsilon, float* out);
  // s = 127 / max(max|x|, 1e-5); q = clamp(round_half_even(x * s), -128, 127), zero-padded to `stride`.
  QuantizedRow (*quantize)(const float* x, size_t n, int8_t* q, size_t stride);
  // Both of the above in one go; `normed` is scratch of n floats rounded up to 16.
  QuantizedRow (*rms_norm_quantize)(const float* x, const float* weight, size_t n, float epsilon, float* normed,
                                    int8_t* q, size_t stride);
  // out = y * (row_scale * scale)
  void (*dequantize)(const int32_t* y, const float* row_scale, float scale, size_t n, float* out);
  // h = h + x
  void (*add)(const float* x, size_t n, float* h);
  // out = activation(gate) * up
  void (*gated)(Activation activation, const float* gate, const float* up, size_t n, float* out);
  // Half-split rotary embedding (Su et al. 2021) of one head, in place: pairs (i, i + half).
  void (*rope)(float* x, const float* cosines, const float* sines, size_t half);
  // x [n] as position `position` (below kKvBlock) of a plane of the KV cache, zero-padded to `stride` elements.
  void (*store_key)(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position);
  void (*store_value)(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position);
  // softmax(scale * q k^T) v of f32 and f16 planes. Each score and each output has one order of operations, whatever tokens
  // are attended at once.
  void (*attention)(const AttentionArgs& args);
  // The same of int8 planes, in exact sums of products of codes (attention_int8.inl).
  void (*int8_attention)(const AttentionArgs& args);
  // y[t * ldy + r] = dot(row r of w, x[t]) for rows row_begin..row_end and `tokens` inputs of n floats, ldx apart.
  void (*dense)(DenseType type, const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x, size_t ldx,
                size_t tokens, float* y, size_t ldy);
  // y[i] = dot(row ids[i] of w, x): the same bits as `dense` gives for that row.
  void (*dense_list)(DenseType type, const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x,
                     float* y);
  // Row r of w as floats, times `scale`.
  void (*dense_row)(DenseType type, const uint8_t* w, size_t n, size_t row, float scale, float* out);
  float (*maximum)(const float* x, size_t n);
  // sum of exp((x - maximum) * inverse_temperature)
  float (*sum_exp)(const float* x, size_t n, float maximum, float inverse_temperature);
  // out = x + a * fa + b * fb
  void (*add_scaled)(const float* x, const float* a, float fa, const float* b, float fb, size_t n, float* out);
  // sum of x^2 * weight
  float (*weighted_squares)(const float* x, const float* weight, size_t n);
  // Quantisation of a row to few levels: codes 0..3 stand for scale * (-3, -1, 1, 3) where `levels` is 4, which suits a normal
  // distribution, and 0..2 for scale * (-1, 0, 1) where it is 3, which suits what the former leaves. Adds the squared errors
  // to column_errors, and writes what the codes leave of x to `rest` (n of each, where not null; `rest` may be x). Returns the
  // least-squares scale; *error is the root mean square error.
  float (*sketch_row)(const float* x, size_t n, int levels, uint8_t* codes, float* error, float* column_errors, float* rest);
  // Appends the indices (from `base` on) of values > threshold to `ids`, returns how many; ids has room for n.
  size_t (*select_above)(const float* x, size_t n, float threshold, int32_t base, int32_t* ids);
};

// Bytes of one row of n values; 0 where n doesn't fit the type's blocks.
constexpr size_t dense_row_bytes(DenseType type, size_t n) {
  switch (type) {
    case DenseType::kF32: return n * 4;
    case DenseType::kF16:
    case DenseType::kBf16: return n * 2;
    case DenseType::kQ8_0: return n % 32 ? 0 : n / 32 * 34;
    case DenseType::kQ6_K: return n % 256 ? 0 : n / 256 * 210;
    case DenseType::kQ1_0: return n % 128 ? 0 : n / 128 * 18;
    case DenseType::kQ2_0G64: return n % 64 ? 0 : n / 64 * 18;
    case DenseType::kQ2_0G128: return n % 128 ? 0 : n / 128 * 34;
    case DenseType::kTq1_0: return n % 256 ? 0 : n / 256 * 54;
    case DenseType::kTq2_0: return n % 256 ? 0 : n / 256 * 66;
    case DenseType::kPtq1_0: return n % 128 ? 0 : n / 128 * 28;
    case DenseType::kQ4_0: return n % 32 ? 0 : n / 32 * 18;
    case DenseType::kQ4_K: return n % 256 ? 0 : n / 256 * 144;
  }
  return 0;
}

extern const FloatOps kScalarFloatOps;
extern const FloatOps kAvx2FloatOps;
extern const FloatOps kAvxVnniFloatOps;  // avx2's, but for attention of int8 planes
extern const FloatOps kAvx512FloatOps;
extern const FloatOps kNeonFloatOps;
extern const FloatOps kNeonDotprodFloatOps;  // neon's, likewise

// The table that goes with a kernel's instruction set.
const FloatOps& float_ops_for(const TernaryKernel& kernel);

}  // namespace bitnet
