// Exact activation sparsity of squared-ReLU networks, for decoded tokens, alone or a few side by side.
//
// relu(gate_i)^2 * up_i is exactly 0 where gate_i <= 0, so row i of up need not be read; after the sub-norm and int8
// rounding still more inputs of the down projection are 0, and those columns need not be read. Zeros add nothing to the
// norm's sum of squares nor to an integer sum: the bits are those of the dense path. Where too few rows are zero, reading
// scattered ones would be slower than streaming, and the dense path runs; columns that all are live are a stream themselves.
#include <algorithm>
#include <cstring>

#include "engine/forward.h"
#include "engine/product_chunks.h"

namespace bitnet {
namespace {

// Largest live share at which skipping won, measured: a scattered row costs about 1.7 streamed ones.
constexpr double kMostLiveRows = 0.55;

// How many rows all tokens of a batch pass before the next ones.
constexpr size_t kSparseRows = 256;

// The dense products of a long batch, one of more than kMostLiveTokens tokens, reach more of the CPU's speed than a short one's,
// for which kernels state what pays. Measured with 256 tokens.
constexpr double kLongRowShare = 0.8, kLongInputShare = 0.7;

// From this share of live inputs on, gathering those of a batch costs more than it saves.
constexpr double kMostLiveInputs = 0.9;

}  // namespace

// out[0 .. end - begin] = relu(gate)^2 * up of one token for the `live` rows of s.live, which lie in begin .. end; 0 for the
// others. x holds that token alone.
void Forward::gated_live(const Layer& l, const Activations& x, float scale, const float* gates, size_t begin, size_t end,
                         size_t live, Scratch& s, float* out) {
  std::memset(out, 0, (end - begin) * sizeof(float));
  if (!live) return;
  kernel_.gemv_rows(l.up.matrix(), x, s.live.data(), live, s.sums.data());
  for (size_t i = 0; i < live; i++) {
    const auto row = static_cast<size_t>(s.live[i]);
    s.live_scales[i] = l.up.row_scales[row];
    s.live_values[i] = gates[row - begin];
  }
  ops_.dequantize(s.sums.data(), s.live_scales.data(), scale, live, s.products.data());
  ops_.gated(spec_.activation, s.live_values.data(), s.products.data(), live, s.live_scales.data());
  for (size_t i = 0; i < live; i++) out[static_cast<size_t>(s.live[i]) - begin] = s.live_scales[i];
}

// relu(gate)^2 * up for rows begin .. end of every token, the gates being in s.gates, [token][step], to out [token][ld].
// Returns false, having written nothing, where the dense product is faster.
bool Forward::gated_rows(const Layer& l, const Activations& x, size_t begin, size_t end, size_t step, Scratch& s, float* out,
                         size_t ld) {
  if (spec_.activation != Activation::kRelu2) return false;
  size_t live = 0;
  for (size_t t = 0; t < x.count; t++) {
    for (size_t i = 0; i < end - begin; i++) live += s.gates[t * step + i] > 0;
  }
  const size_t all = x.count * (end - begin);
  sparsity_.rows.fetch_add(all, std::memory_order_relaxed);
  sparsity_.live_rows.fetch_add(live, std::memory_order_relaxed);
  if (!kernel_.gemv_rows || l.up.group_kernel) return false;
  const double most = x.count == 1 ? kMostLiveRows : kernel_.sparse_batch_share * (x.count > kMostLiveTokens ? kLongRowShare : 1.0);
  if (static_cast<double>(live) > most * static_cast<double>(all)) return false;
  // A stretch of rows that all tokens read from L2.
  const size_t stretch = x.count == 1 ? end - begin : kSparseRows;
  for (size_t first = begin; first < end; first += stretch) {
    const size_t last = std::min(end, first + stretch);
    for (size_t t = 0; t < x.count; t++) {
      const float* gates = s.gates.data() + t * step + (first - begin);
      const Activations token{x.values + t * x.stride, x.stride, x.sums + t, 1, nullptr};
      const size_t open = ops_.select_above(gates, last - first, 0.0f, static_cast<int32_t>(first), s.live.data());
      gated_live(l, token, scales_[t], gates, first, last, open, s, out + t * ld + (first - begin));
    }
  }
  return true;
}

// Each token's live inputs, to live_inputs_ and live_counts_.
void Forward::list_inputs(const Linear& linear, const Activations& x) {
  auto list = [&](size_t t, unsigned) {
    live_counts_[t] = linear.column_kernel->nonzero(x.values + t * x.stride, linear.columns, live_inputs_.data() + t * linear.columns);
  };
  if (x.count == 1) {
    list(0, 0);
  } else {
    pool_.parallel(x.count, list);
  }
}

// Lists live inputs; false where multiplying all inputs that any token has is faster.
bool Forward::list_live(const Linear& linear, const Activations& x) {
  const ColumnKernel& kernel = *linear.column_kernel;
  const size_t columns = linear.columns;
  list_inputs(linear, x);
  if (x.count > 1) {
    any_live_.assign(columns, 0);
    for (size_t t = 0; t < x.count; t++) {
      const int8_t* values = x.values + t * x.stride;
      for (size_t k = 0; k < columns; k++) any_live_[k] = static_cast<int8_t>(any_live_[k] | values[k]);
    }
    any_count_ = kernel.nonzero(any_live_.data(), columns, any_inputs_.data());
  }
  size_t live = 0;
  for (size_t t = 0; t < x.count; t++) live += live_counts_[t];
  sparsity_.inputs.fetch_add(x.count * columns, std::memory_order_relaxed);
  sparsity_.live_inputs.fetch_add(live, std::memory_order_relaxed);
  return x.count == 1 || static_cast<double>(live) < kernel.gemm_cost(x.count) * static_cast<double>(any_count_);
}

// The same for a batch of more than kMostLiveTokens tokens, without lists.
bool Forward::long_batch_lives(const Linear& linear, const Activations& x) {
  const size_t columns = linear.columns;
  std::atomic<size_t> live{0};
  pool_.parallel(x.count, [&](size_t t, unsigned) {
    const int8_t* values = x.values + t * x.stride;
    size_t count = 0;
    for (size_t k = 0; k < columns; k++) count += values[k] != 0;
    live.fetch_add(count, std::memory_order_relaxed);
  });
  sparsity_.inputs.fetch_add(x.count * columns, std::memory_order_relaxed);
  sparsity_.live_inputs.fetch_add(live, std::memory_order_relaxed);
  const double most = kLongInputShare * linear.column_kernel->gemm_cost(x.count);
  return static_cast<double>(live) < most * static_cast<double>(columns);
}

// In place: what is left moves to the front of each row.
Activations Forward::gather_live(const Linear& linear, const Activations& x) {
  const size_t columns = linear.columns;
  live_columns_ = {nullptr, columns};
  if (static_cast<double>(any_count_) > kMostLiveInputs * static_cast<double>(columns)) return x;
  if (any_count_ == 0) any_inputs_[0] = 0;
  live_columns_ = {any_inputs_.data(), std::max<size_t>(any_count_, 1)};
  pool_.parallel(x.count, [&](size_t t, unsigned) {
    int8_t* values = quantized_.data() + t * x.stride;
    for (size_t i = 0; i < live_columns_.count; i++) values[i] = values[any_inputs_[i]];
    std::memset(values + live_columns_.count, 0, columns - live_columns_.count);
  });
  return x;
}

bool Forward::multiply_live(const Linear& linear, const Activations& x, float* out, size_t ld, bool add) {
  if (x.count <= kMostLiveTokens) {
    if (!list_live(linear, x)) return false;
    multiply_listed(linear, x, scales_.data(), out, ld, add);
    return true;
  }
  any_count_ = linear.columns;  // there is hardly an input that all tokens leave at 0
  if (!long_batch_lives(linear, x)) return false;
  for (size_t t = 0; t < x.count; t += kMostLiveTokens) {
    const Activations part{x.values + t * x.stride, x.stride, x.sums + t, std::min(kMostLiveTokens, x.count - t), nullptr};
    list_inputs(linear, part);
    multiply_listed(linear, part, scales_.data() + t, out + t * ld, ld, add);
  }
  return true;
}

// Products of the inputs that list_inputs has listed.
void Forward::multiply_listed(const Linear& linear, const Activations& x, const float* scales, float* out, size_t ld, bool add) {
  const ColumnKernel& kernel = *linear.column_kernel;
  const size_t blocks = kernel.blocks(linear.rows), step = live_chunk_blocks(blocks, pool_.threads());
  pool_.parallel((blocks + step - 1) / step, [&](size_t chunk, unsigned thread) {
    const size_t first = chunk * step, last = std::min(blocks, first + step);
    const size_t begin = first * kernel.block_rows(), end = std::min(linear.rows, last * kernel.block_rows());
    const size_t width = (last - first) * kernel.block_rows();
    Scratch& s = scratch_[thread];
    const LiveInputs live{live_inputs_.data(), linear.columns, live_counts_};
    kernel.gemm_live(linear.matrix(), live, x, s.sums.data() - begin, width, first, last);
    for (size_t t = 0; t < x.count; t++) {
      float* row = out + t * ld + begin;
      float* values = add ? s.products.data() : row;
      ops_.dequantize(s.sums.data() + t * width, linear.row_scales.data() + begin, scales[t], end - begin, values);
      if (add) ops_.add(values, end - begin, row);
    }
  });
}

}  // namespace bitnet
