#include "engine/output_head.h"

#include <algorithm>
#include <bitset>
#include <cmath>

#include "engine/exact_math.h"
#include "error.h"

namespace bitnet {
namespace {

// Rows of the head a thread computes at a time. A constant, never a function of the thread count: the log-sum-exp is
// added up chunk by chunk, so this is part of the result's definition.
constexpr size_t kChunk = 1024;

// Exact rows a thread computes at a time.
constexpr size_t kListChunk = 32;

// The whole head stays resident once it was needed this many runs in a row: below that, its pages go as soon as they were
// read, so that a rare fallback does not leave hundreds of megabytes behind.
constexpr size_t kKeepAfter = 3;

// Rows of the second plane a thread looks at at a time.
constexpr size_t kRefineChunk = 256;

// Rows scored exactly before the margin is known: several times the candidates asked for.
constexpr size_t kFirstRows = 256;

// The margin in standard deviations of the sketch's noise. A row of the true top k is missed only if its own noise is
// below -kMargin: for normal noise at most k * 1e-9 per output. The deviation itself is checked against the rows that
// were scored exactly, and widened where they disagree.
constexpr float kMargin = 6.0f;

// Root mean square of the levels -3, -1, 1, 3 as a normal row uses them, rounded up.
constexpr float kLevelRms = 2.24f;

// Above this share of the vocabulary the whole head is no slower.
constexpr size_t kGiveUpShare = 6;

// Masks of up to this many tokens need no sketch: their exact rows are fewer bytes.
#if defined(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
constexpr size_t kFewAllowed = 8;
#else
constexpr size_t kFewAllowed = 1024;
#endif

bool allows(const uint32_t* mask, size_t id) { return mask[id / 32] >> (id % 32) & 1; }

// -infinity for what a mask forbids of the values begin..begin + n - 1; begin is a multiple of 32.
void forbid(const uint32_t* mask, size_t begin, size_t n, float* values) {
  for (size_t i = 0; i < n; i += 32) {
    const uint32_t word = mask[(begin + i) / 32];
    if (word == 0xffffffffu) continue;
    for (size_t bit = 0; bit < 32 && i + bit < n; bit++) {
      if (!(word >> bit & 1)) values[i + bit] = -INFINITY;
    }
  }
}

size_t chunks_of(size_t n) { return (n + kChunk - 1) / kChunk; }

[[noreturn]] void not_finite() {
  throw Error(kModelFormat, "The model's scores are not finite numbers: its weights or scales are damaged.");
}

}  // namespace

void OutputHead::run(const Batch& batch, const float* hidden, size_t ld, BatchResult& result) {
  const size_t d = spec_.embedding_length, ld_rows = round_up(d, 16), v = spec_.vocabulary_size;
  std::vector<size_t> scored, states;
  for (size_t t = 0; t < batch.want.size(); t++) {
    if (batch.want[t] == Want::kCandidates || batch.want[t] == Want::kLogits) scored.push_back(t);
    if (batch.want[t] == Want::kHidden) states.push_back(t);
  }
  outputs_ = 0;
  auto norm = [&](size_t token, float* out) {
    ops_.rms_norm(hidden + token * ld, model_.output_norm().data(), d, spec_.rms_norm_epsilon, out);
  };
  result.hidden.resize(states.size() * d);
  for (size_t i = 0; i < states.size(); i++) norm(states[i], result.hidden.data() + i * d);
  if (scored.empty()) return;
  ran_whole_ = false;

  if (rows_.size() < scored.size() * ld_rows) rows_ = AlignedBuffer<float>(scored.size() * ld_rows);
  if (logits_.size() < scored.size() * v) logits_ = AlignedBuffer<float>(scored.size() * v);
  for (size_t i = 0; i < scored.size(); i++) norm(scored[i], rows_.data() + i * ld_rows);
  outputs_ = scored.size();
  complete_.assign(outputs_, false);

  bool all_logits = batch.log_sum_exp;
  for (size_t t : scored) all_logits |= batch.want[t] == Want::kLogits;
  const bool sketched = model_.head_sketch() && !all_logits && batch.candidates * 8 <= v;
  std::vector<bool> few(outputs_, false);
  bool all_few = sketched;
  if (sketched) {
    size_t index = 0;
    for (size_t i = 0; i < outputs_; i++) {
      const uint32_t* mask = mask_of(batch, index++);
      few[i] = mask && allowed_by(mask) <= kFewAllowed;
      all_few &= few[i];
    }
    if (!all_few) sketch_scores(outputs_);
  } else {
    head(0, outputs_);
  }
  size_t index = 0;
  for (size_t i = 0; i < outputs_; i++) {
    if (batch.want[scored[i]] == Want::kLogits) {
      const float* row = logits_.data() + i * v;
      result.logits.insert(result.logits.end(), row, row + v);
      continue;
    }
    if (few[i]) {
      from_list(batch, i, index++, result);
      continue;
    }
    if (sketched && from_sketch(batch, i, index, result)) {
      index++;
      continue;
    }
    if (sketched) head(i, 1);
    from_logits(batch, logits_.data() + i * v, index++, result);
  }
  if (ran_whole_) {
    whole_runs_++;
    return;
  }
  if (whole_runs_ > kKeepAfter || (left_rows_ && outputs_ == 1)) {
    model_.head().release(0, v);
    left_rows_ = false;
  }
  whole_runs_ = 0;
}

std::vector<float> OutputHead::logits(size_t index) {
  if (!complete_[index]) head(index, 1);
  const float* row = logits_.data() + index * spec_.vocabulary_size;
  return std::vector<float>(row, row + spec_.vocabulary_size);
}

void OutputHead::head(size_t first, size_t count) {
  const DenseMatrix& w = model_.head();
  const size_t v = spec_.vocabulary_size, d = spec_.embedding_length, ld = round_up(d, 16);
  const bool let_go = whole_runs_ < kKeepAfter;
  ran_whole_ = true;
  pool_.parallel(chunks_of(v), [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kChunk, end = std::min(v, begin + kChunk);
    ops_.dense(w.type, w.data, d, begin, end, rows_.data() + first * ld, ld, count, logits_.data() + first * v, v);
    if (let_go) w.release(begin, end);
  });
  for (size_t i = first; i < first + count; i++) complete_[i] = true;
}

size_t OutputHead::select_largest(const float* values, size_t n, size_t k) {
  // A running threshold: chunks whose maximum is below it are skipped. Ids rise, so of equal values the lower id stays.
  auto better = [&](int32_t a, int32_t b) { return values[a] > values[b] || (values[a] == values[b] && a < b); };
  const size_t capacity = k + 4 * kChunk;
  if (selected_.size() < capacity) selected_.resize(capacity);
  size_t found = 0;
  float threshold = -INFINITY;
  auto cut = [&] {
    if (found <= k) return;
    const auto begin = selected_.begin();
    std::nth_element(begin, begin + static_cast<std::ptrdiff_t>(k - 1), begin + static_cast<std::ptrdiff_t>(found), better);
    found = k;
    threshold = values[selected_[k - 1]];
  };
  for (size_t c = 0; c < chunks_of(n); c++) {
    if (!(chunk_maxima_[c] > threshold)) continue;
    const size_t begin = c * kChunk, count = std::min(n, begin + kChunk) - begin;
    if (found + count > capacity) cut();
    found += ops_.select_above(values + begin, count, threshold, static_cast<int32_t>(begin), selected_.data() + found);
    if (threshold == -INFINITY || found > k + kChunk) cut();
  }
  cut();
  return found;
}

void OutputHead::log_sum_exp(const float* logits, float temperature, BatchResult& result) {
  const size_t v = spec_.vocabulary_size, chunks = chunks_of(v);
  const float inverse = 1.0f / temperature;
  chunk_sums_.resize(chunks);
  pool_.parallel(chunks, [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kChunk, n = std::min(v, begin + kChunk) - begin;
    chunk_sums_[chunk] = ops_.sum_exp(logits + begin, n, chunk_maxima_[chunk], inverse);
  });
  const float maximum = *std::max_element(chunk_maxima_.begin(), chunk_maxima_.begin() + static_cast<std::ptrdiff_t>(chunks));
  double total = 0;
  for (size_t c = 0; c < chunks; c++) {
    const double below = (static_cast<double>(chunk_maxima_[c]) - maximum) / temperature;
    if (below > -700) total += chunk_sums_[c] * exact_exp(below);
  }
  result.log_sum_exp.push_back(
      static_cast<float>(static_cast<double>(maximum) / temperature + exact_log(std::max(total, 1e-300))));
}

void OutputHead::from_logits(const Batch& batch, const float* logits, size_t index, BatchResult& result) {
  const size_t v = spec_.vocabulary_size, chunks = chunks_of(v);
  const uint32_t* mask = mask_of(batch, index);
  const size_t wanted = std::min(batch.candidates, v), k = mask ? std::min(wanted, allowed_by(mask)) : wanted;
  chunk_maxima_.resize(chunks);
  pool_.parallel(chunks, [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kChunk;
    chunk_maxima_[chunk] = ops_.maximum(logits + begin, std::min(v, begin + kChunk) - begin);
  });
  if (batch.log_sum_exp) log_sum_exp(logits, batch.temperatures.empty() ? 1.0f : batch.temperatures[index], result);
  const float* values = logits;
  if (mask) {
    masked_.assign(logits, logits + v);
    for (size_t c = 0; c < chunks; c++) {
      const size_t begin = c * kChunk, n = std::min(v, begin + kChunk) - begin;
      forbid(mask, begin, n, masked_.data() + begin);
      chunk_maxima_[c] = ops_.maximum(masked_.data() + begin, n);
    }
    values = masked_.data();
  }
  if (k > 0 && select_largest(values, v, k) < k) not_finite();
  std::sort(selected_.begin(), selected_.begin() + static_cast<std::ptrdiff_t>(k),
            [&](int32_t a, int32_t b) { return values[a] > values[b] || (values[a] == values[b] && a < b); });
  for (size_t i = 0; i < wanted; i++) {
    result.candidate_ids.push_back(i < k ? selected_[i] : -1);
    result.candidate_logits.push_back(i < k ? values[selected_[i]] : -INFINITY);
  }
  if (batch.extra_offsets.empty()) return;
  for (auto i = batch.extra_offsets[index]; i < batch.extra_offsets[index + 1]; i++) {
    result.extra_logits.push_back(logits[batch.extra_ids[static_cast<size_t>(i)]]);
  }
}

void OutputHead::sketch_scores(size_t count) {
  const HeadSketch& s = model_.head_sketch();
  const size_t d = spec_.embedding_length, ld = round_up(d, 16), v = s.rows, ldv = round_up(v, kRowTile);
  const size_t stride = round_up(d, kActivationPad);
  if (scores_.size() < count * ldv) scores_ = AlignedBuffer<float>(count * ldv);
  if (quantized_.size() < count * stride) quantized_ = AlignedBuffer<int8_t>(count * stride);
  quantized_rows_.resize(count);
  sums_.resize(count);
  for (size_t i = 0; i < count; i++) {
    quantized_rows_[i] = ops_.quantize(rows_.data() + i * ld, d, quantized_.data() + i * stride, stride);
    sums_[i] = quantized_rows_[i].sum;
  }
  const Activations x{quantized_.data(), stride, sums_.data(), count, nullptr};
  const size_t scratch = std::max<size_t>(64, s.kernel->scratch_bytes(d));
  pool_.parallel(chunks_of(v), [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kChunk, end = std::min(v, begin + kChunk), n = end - begin;
    thread_local AlignedBuffer<uint8_t> panel;
    thread_local AlignedBuffer<int32_t> y;
    if (panel.size() < scratch) panel = AlignedBuffer<uint8_t>(scratch);
    if (y.size() < count * kChunk) y = AlignedBuffer<int32_t>(count * kChunk);
    s.kernel->gemm(s.matrix(s.first), x, y.data() - begin, kChunk, begin, end, panel.data());
    for (size_t t = 0; t < count; t++) {
      // The kernel's weights are code - 1, the sketch's levels 2 * code - 3.
      int32_t* row = y.data() + t * kChunk;
      for (size_t i = 0; i < n; i++) row[i] = 2 * row[i] - sums_[t];
      ops_.dequantize(row, s.first.scales.data() + begin, quantized_rows_[t].scale, n, scores_.data() + t * ldv + begin);
    }
  });
}

void OutputHead::score_rows(size_t output, size_t begin) {
  const DenseMatrix& w = model_.head();
  const size_t d = spec_.embedding_length, n = ids_.size() - begin;
  exact_.resize(ids_.size());
  // A row copied out of the file costs three times one read in place, but leaves no page of the head resident. With 16
  // outputs that was 16 % of a pass, so texts that run side by side read in place, unless memory is short.
  const bool copy = w.large() && (outputs_ == 1 || model_.maps_weights());
  if (!copy && w.large()) left_rows_ = true;
  pool_.parallel((n + kListChunk - 1) / kListChunk, [&](size_t chunk, unsigned) {
    const size_t at = begin + chunk * kListChunk, count = std::min(kListChunk, begin + n - at);
    const float* x = rows_.data() + output * round_up(d, 16);
    if (!copy) {
      ops_.dense_list(w.type, w.data, d, ids_.data() + at, count, x, exact_.data() + at);
      return;
    }
    const size_t row_bytes = w.row_bytes();
    thread_local AlignedBuffer<uint8_t> copies;
    if (copies.size() < kListChunk * row_bytes) copies = AlignedBuffer<uint8_t>(kListChunk * row_bytes);
    int32_t places[kListChunk];
    for (size_t i = 0; i < count; i++) {
      places[i] = static_cast<int32_t>(i);
      w.read_row(static_cast<size_t>(ids_[at + i]), copies.data() + i * row_bytes);
    }
    ops_.dense_list(w.type, copies.data(), d, places, count, x, exact_.data() + at);
  });
}

void OutputHead::refine(size_t output, const float* scores, const std::vector<int32_t>& ids, std::vector<float>& refined) {
  const HeadSketch& s = model_.head_sketch();
  const size_t stride = round_up(spec_.embedding_length, kActivationPad);
  const QuantizedRow& q = quantized_rows_[output];
  const Activations x{quantized_.data() + output * stride, stride, &sums_[output], 1, nullptr};
  refined.resize(ids.size());
  pool_.parallel((ids.size() + kRefineChunk - 1) / kRefineChunk, [&](size_t chunk, unsigned) {
    const size_t at = chunk * kRefineChunk, count = std::min(kRefineChunk, ids.size() - at);
    int32_t y[kRefineChunk + 4];
    s.kernel->gemv_rows(s.matrix(s.second), x, ids.data() + at, count, y);
    for (size_t i = 0; i < count; i++) {
      const auto row = static_cast<size_t>(ids[at + i]);
      refined[at + i] = scores[row] + static_cast<float>(2 * y[i] - q.sum) * (s.second.scales[row] * q.scale);
    }
  });
}

// What a plane leaves unknown of a row's score, in standard deviations: errors[row] * by_error + scales[row] * by_scale,
// from the row's own error and from what x lost in quantisation; times the margin. The deviation is checked against the
// rows `ids` whose exact logits are known, and widened where they disagree. Not finite where nothing can be said.
OutputHead::Noise OutputHead::noise(const SketchPlane& plane, const float* x, float lost, const std::vector<int32_t>& ids,
                                    const std::vector<float>& sketched) const {
  const float by_error = std::sqrt(ops_.weighted_squares(x, plane.column_weights.data(), spec_.embedding_length));
  // The scale of the first plane carries nearly all of a row's norm.
  const std::vector<float>& scales = model_.head_sketch().first.scales;
  const float by_scale = lost * kLevelRms;
  double mean = 0, squares = 0;
  const auto n = static_cast<double>(ids.size());
  for (size_t i = 0; i < ids.size(); i++) {
    const auto row = static_cast<size_t>(ids[i]);
    const double z = (static_cast<double>(exact_[i]) - sketched[i]) /
                     (static_cast<double>(plane.errors[row]) * by_error + static_cast<double>(scales[row]) * by_scale + 1e-30);
    mean += z;
    squares += z * z;
  }
  mean /= n;
  const auto margin = kMargin * static_cast<float>(std::max(1.0, std::sqrt(std::max(0.0, squares / n - mean * mean))));
  return {margin * by_error, margin * by_scale};
}

// The k best exact logits, found through the sketch. False where too many rows would have to be looked at.
bool OutputHead::from_sketch(const Batch& batch, size_t output, size_t index, BatchResult& result) {
  const HeadSketch& s = model_.head_sketch();
  const size_t d = spec_.embedding_length, v = s.rows, chunks = chunks_of(v);
  const uint32_t* mask = mask_of(batch, index);
  const size_t allowed = mask ? allowed_by(mask) : v, k = std::min(batch.candidates, allowed);
  float* scores = scores_.data() + output * round_up(v, kRowTile);
  const float* x = rows_.data() + output * round_up(d, 16);
  stats_.outputs++;

  // 1. The rows with the best scores of the first plane, exactly: their k-th best is the bar.
  chunk_maxima_.resize(chunks);
  pool_.parallel(chunks, [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kChunk, n = std::min(v, begin + kChunk) - begin;
    // What may not come is nowhere near the bar.
    if (mask) forbid(mask, begin, n, scores + begin);
    chunk_maxima_[chunk] = ops_.maximum(scores + begin, n);
  });
  const size_t first = std::min(allowed, std::max(kFirstRows, 2 * k));
  if (select_largest(scores, v, first) < first) return false;  // NaN: the whole head reports it
  ids_.assign(selected_.begin(), selected_.begin() + static_cast<std::ptrdiff_t>(first));
  score_rows(output, 0);
  std::vector<float> best(exact_);
  std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(k - 1), best.end(), std::greater<float>());
  const float bar = std::nextafter(best[k - 1], -INFINITY);

  // 2. Every other row that the first plane's noise could lift over the bar.
  const QuantizedRow& q = quantized_rows_[output];
  const int8_t* values = quantized_.data() + output * round_up(d, kActivationPad);
  double lost_squares = 0;
  for (size_t i = 0; i < d; i++) {
    const double e = static_cast<double>(x[i]) - static_cast<double>(q.scale) * values[i];
    lost_squares += e * e;
  }
  const auto lost = static_cast<float>(std::sqrt(lost_squares));
  std::vector<float> sketched(first);
  for (size_t i = 0; i < first; i++) sketched[i] = scores[static_cast<size_t>(ids_[i])];
  const Noise noise1 = noise(s.first, x, lost, ids_, sketched);
  if (!std::isfinite(noise1.by_error) || !std::isfinite(noise1.by_scale)) return false;
  known_.assign(v, false);  // an earlier call may have ended by an error
  for (int32_t id : ids_) known_[static_cast<size_t>(id)] = true;
  found_.resize(chunks);
  pool_.parallel(chunks, [&](size_t chunk, unsigned) {
    alignas(64) float upper[kChunk];
    int32_t ids[kChunk];
    const size_t begin = chunk * kChunk, n = std::min(v, begin + kChunk) - begin;
    ops_.add_scaled(scores + begin, s.first.errors.data() + begin, noise1.by_error, s.first.scales.data() + begin,
                    noise1.by_scale, n, upper);
    const size_t count = ops_.select_above(upper, n, bar, static_cast<int32_t>(begin), ids);
    auto& list = found_[chunk];
    list.clear();
    for (size_t i = 0; i < count; i++) {
      if (!known_[static_cast<size_t>(ids[i])]) list.push_back(ids[i]);
    }
  });
  std::vector<int32_t> promising;
  for (const auto& list : found_) promising.insert(promising.end(), list.begin(), list.end());

  // 3. Of those, every row that the second plane's noise could.
  if (promising.size() > v / kGiveUpShare) {
    stats_.fallbacks++;
    return false;
  }
  if (s.second.bytes() && promising.size() > kListChunk) {
    std::vector<float> refined;
    refine(output, scores, ids_, refined);
    const Noise noise2 = noise(s.second, x, lost, ids_, refined);
    refine(output, scores, promising, refined);
    for (size_t i = 0; i < promising.size(); i++) {
      const auto row = static_cast<size_t>(promising[i]);
      const float upper = refined[i] + s.second.errors[row] * noise2.by_error + s.first.scales[row] * noise2.by_scale;
      if (!(upper <= bar)) ids_.push_back(promising[i]);
    }
  } else {
    ids_.insert(ids_.end(), promising.begin(), promising.end());
  }
  score_rows(output, first);
  stats_.rows_refined += promising.size();
  stats_.rows_scored += ids_.size();

  // 4. The best k of the exact ones.
  put_best(batch, k, result);
  put_extra(batch, output, index, result);
  return true;
}

void OutputHead::from_list(const Batch& batch, size_t output, size_t index, BatchResult& result) {
  const uint32_t* mask = mask_of(batch, index);
  ids_.clear();
  for (size_t id = 0; id < spec_.vocabulary_size; id++) {
    if (mask[id / 32] == 0) {
      id |= 31;
    } else if (allows(mask, id)) {
      ids_.push_back(static_cast<int32_t>(id));
    }
  }
  exact_.clear();
  score_rows(output, 0);
  put_best(batch, std::min(batch.candidates, ids_.size()), result);
  put_extra(batch, output, index, result);
}

const uint32_t* OutputHead::mask_of(const Batch& batch, size_t index) const {
  if (batch.mask_of.empty() || batch.mask_of[index] < 0) return nullptr;
  const size_t words = (spec_.vocabulary_size + 31) / 32;
  return reinterpret_cast<const uint32_t*>(batch.masks.data()) + static_cast<size_t>(batch.mask_of[index]) * words;
}

size_t OutputHead::allowed_by(const uint32_t* mask) const {
  const size_t v = spec_.vocabulary_size;
  size_t count = 0;
  for (size_t word = 0; word < v / 32; word++) count += std::bitset<32>(mask[word]).count();
  // Bits behind the vocabulary count for nothing.
  for (size_t id = v / 32 * 32; id < v; id++) count += allows(mask, id);
  return count;
}

void OutputHead::put_best(const Batch& batch, size_t k, BatchResult& result) {
  std::vector<size_t> order(ids_.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  auto better = [&](size_t a, size_t b) { return exact_[a] > exact_[b] || (exact_[a] == exact_[b] && ids_[a] < ids_[b]); };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), better);
  for (size_t i = 0; i < batch.candidates; i++) {
    if (i < k && std::isnan(exact_[order[i]])) not_finite();
    result.candidate_ids.push_back(i < k ? ids_[order[i]] : -1);
    result.candidate_logits.push_back(i < k ? exact_[order[i]] : -INFINITY);
  }
}

void OutputHead::put_extra(const Batch& batch, size_t output, size_t index, BatchResult& result) {
  if (batch.extra_offsets.empty()) return;
  const auto from = batch.extra_offsets[index], to = batch.extra_offsets[index + 1];
  ids_.assign(batch.extra_ids.begin() + from, batch.extra_ids.begin() + to);
  exact_.clear();
  score_rows(output, 0);
  result.extra_logits.insert(result.extra_logits.end(), exact_.begin(), exact_.end());
}

}  // namespace bitnet
