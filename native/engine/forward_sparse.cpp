// Exact activation sparsity of squared-ReLU networks, for decoded tokens.
//
// relu(gate_i)^2 * up_i is exactly 0 where gate_i <= 0, so row i of up need not be read; after the sub-norm and int8
// rounding still more inputs of the down projection are 0, and those columns need not be read. Zeros add nothing to the
// norm's sum of squares nor to an integer sum: the bits are those of the dense path. Where too few rows are zero, reading
// scattered ones would be slower than streaming, and the dense path runs; columns that all are live are a stream themselves.
#include <algorithm>
#include <cstring>

#include "engine/forward.h"

namespace bitnet {
namespace {

// Largest live share at which skipping won, measured: a scattered row costs about 1.7 streamed ones.
constexpr double kMostLiveRows = 0.55;

// From this share of live inputs on, gathering those of a batch costs more than it saves.
constexpr double kMostLiveInputs = 0.9;

// Most tokens whose live inputs are looked for.
constexpr size_t kMostGathered = 32;

}  // namespace

// out[0 .. end - begin] = relu(gate)^2 * up for rows begin .. end, the gates being in scratch.gates.
void Forward::gated_rows(const Layer& l, const Activations& x, size_t begin, size_t end, Scratch& s, float* out) {
  const size_t n = end - begin;
  const float* gates = s.gates.data();
  size_t live = 0;
  for (size_t i = 0; i < n; i++) {
    s.live[live] = static_cast<int32_t>(begin + i);
    live += gates[i] > 0;
  }
  sparsity_.rows.fetch_add(n, std::memory_order_relaxed);
  sparsity_.live_rows.fetch_add(live, std::memory_order_relaxed);
  if (!kernel_.gemv_rows || l.up.group_kernel || static_cast<double>(live) > kMostLiveRows * static_cast<double>(n)) {
    product(l.up, x, begin, end, n, s, s.products.data());
    ops_.gated(spec_.activation, gates, s.products.data(), n, out);
    return;
  }
  std::memset(out, 0, n * sizeof(float));
  if (!live) return;
  kernel_.gemv_rows(l.up.matrix(), x, s.live.data(), live, s.sums.data());
  for (size_t i = 0; i < live; i++) {
    const auto row = static_cast<size_t>(s.live[i]);
    s.live_scales[i] = l.up.row_scales[row];
    s.live_values[i] = gates[row - begin];
  }
  ops_.dequantize(s.sums.data(), s.live_scales.data(), scales_[0], live, s.products.data());
  ops_.gated(spec_.activation, s.live_values.data(), s.products.data(), live, s.live_scales.data());
  for (size_t i = 0; i < live; i++) out[static_cast<size_t>(s.live[i]) - begin] = s.live_scales[i];
}

// In place: what is left moves to the front of each row. A long batch has hardly an input that all tokens leave at 0.
Activations Forward::gather_live(const Linear& linear, const Activations& x) {
  const size_t columns = linear.columns;
  live_columns_ = {nullptr, columns};
  if (x.count > kMostGathered) return x;
  std::vector<int8_t>& any = any_live_;
  any.assign(columns, 0);
  for (size_t t = 0; t < x.count; t++) {
    const int8_t* values = x.values + t * x.stride;
    for (size_t k = 0; k < columns; k++) any[k] = static_cast<int8_t>(any[k] | values[k]);
  }
  const size_t count = linear.column_kernel->nonzero(any.data(), columns, live_inputs_.data());
  if (static_cast<double>(count) > kMostLiveInputs * static_cast<double>(columns)) return x;
  if (count == 0) live_inputs_[0] = 0;
  live_columns_ = {live_inputs_.data(), std::max<size_t>(count, 1)};
  pool_.parallel(x.count, [&](size_t t, unsigned) {
    int8_t* values = quantized_.data() + t * x.stride;
    for (size_t i = 0; i < live_columns_.count; i++) values[i] = values[live_inputs_[i]];
    std::memset(values + live_columns_.count, 0, columns - live_columns_.count);
  });
  return x;
}

// out = (out +) linear * x, over the non-zero inputs only.
void Forward::multiply_nonzero(const Linear& linear, const Activations& x, float* out, bool add) {
  const ColumnKernel& kernel = *linear.column_kernel;
  const size_t count = kernel.nonzero(x.values, linear.columns, live_inputs_.data());
  sparsity_.inputs.fetch_add(linear.columns, std::memory_order_relaxed);
  sparsity_.live_inputs.fetch_add(count, std::memory_order_relaxed);
  const size_t blocks = kernel.blocks(linear.rows);
  // A thread takes neighbouring blocks: the longer the pieces of a column, the better memory likes it.
  const size_t step = (blocks + pool_.threads() - 1) / pool_.threads();
  pool_.parallel((blocks + step - 1) / step, [&](size_t chunk, unsigned thread) {
    const size_t first = chunk * step, last = std::min(blocks, first + step);
    const size_t begin = first * kernel.block_rows(), end = std::min(linear.rows, last * kernel.block_rows());
    Scratch& s = scratch_[thread];
    int32_t* sums = s.sums.data();
    kernel.gemv(linear.packed.data(), linear.rows, x.values, live_inputs_.data(), count, sums - begin, first, last);
    float* values = add ? s.products.data() : out + begin;
    ops_.dequantize(sums, linear.row_scales.data() + begin, scales_[0], end - begin, values);
    if (add) ops_.add(values, end - begin, out + begin);
  });
}

}  // namespace bitnet
