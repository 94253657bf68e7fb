#include "engine/candidate_finder.h"

#include <algorithm>
#include <bitset>
#include <cmath>

#include "engine/exact_math.h"
#include "error.h"

namespace bitnet {
namespace {

// Exact rows a thread computes at a time.
constexpr size_t kListChunk = 32;

// Rows of the second plane a thread looks at at a time.
constexpr size_t kRefineChunk = 256;

// Rows that the first plane puts first and the second looks at, per candidate asked for and at least; and those of them that
// are then scored exactly, before the margin is known.
constexpr size_t kFirstShare = 16, kFirstRows = 256, kFirstMost = 2048;
constexpr size_t kScoredShare = 2, kScoredRows = 64;

// The margin in standard deviations of the sketch's noise. A row of the true top k is missed only if its own noise is
// below -kMargin: for normal noise at most k * 1e-9 per output. The deviation itself is checked against the rows that
// were scored exactly, and widened where they disagree.
constexpr float kMargin = 6.0f;

// Root mean square of the levels -3, -1, 1, 3 as a normal row uses them, rounded up.
constexpr float kLevelRms = 2.24f;

// Above this share of the vocabulary the whole head is no slower.
constexpr size_t kGiveUpShare = 6;

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

[[noreturn]] void not_finite() {
  throw Error(kModelFormat, "The model's scores are not finite numbers: its weights or scales are damaged.");
}

// The order of candidates: the greater score, of equal ones the lower id.
bool better(Candidate a, Candidate b) { return a.score > b.score || (a.score == b.score && a.id < b.id); }

// The same, of ids whose scores stand in `values`.
auto by(const float* values) {
  return [values](int32_t a, int32_t b) { return better({values[a], a}, {values[b], b}); };
}

// A score that can be ordered.
float ordered(float score) { return std::isnan(score) ? -INFINITY : score; }

// The places for an output's candidates in a result.
size_t places(const Batch& batch, const ModelSpec& spec) { return std::min(batch.candidates, spec.vocabulary_size); }

}  // namespace

size_t CandidateFinder::select_largest(const float* values, size_t n, size_t k) {
  // A running threshold: chunks whose maximum is below it are skipped. Ids rise, so of equal values the lower id stays.
  const size_t capacity = k + 4 * kHeadChunk;
  if (selected_.size() < capacity) selected_.resize(capacity);
  size_t found = 0;
  float threshold = -INFINITY;
  auto cut = [&] {
    if (found <= k) return;
    const auto begin = selected_.begin();
    std::nth_element(begin, begin + static_cast<std::ptrdiff_t>(k - 1), begin + static_cast<std::ptrdiff_t>(found),
                     by(values));
    found = k;
    threshold = values[selected_[k - 1]];
  };
  for (size_t c = 0; c < head_chunks(n); c++) {
    if (!(chunk_maxima_[c] > threshold)) continue;
    const size_t begin = c * kHeadChunk, count = std::min(n, begin + kHeadChunk) - begin;
    if (found + count > capacity) cut();
    found += ops_.select_above(values + begin, count, threshold, static_cast<int32_t>(begin), selected_.data() + found);
    if (threshold == -INFINITY || found > k + kHeadChunk) cut();
  }
  cut();
  return found;
}

void CandidateFinder::log_sum_exp(const float* logits, float temperature, float& sum) {
  const size_t v = spec_.vocabulary_size, chunks = head_chunks(v);
  const float inverse = 1.0f / temperature;
  chunk_sums_.resize(chunks);
  each(chunks, [&](size_t chunk) {
    const size_t begin = chunk * kHeadChunk, n = std::min(v, begin + kHeadChunk) - begin;
    chunk_sums_[chunk] = ops_.sum_exp(logits + begin, n, chunk_maxima_[chunk], inverse);
  });
  const float maximum = *std::max_element(chunk_maxima_.begin(), chunk_maxima_.begin() + static_cast<std::ptrdiff_t>(chunks));
  double total = 0;
  for (size_t c = 0; c < chunks; c++) {
    const double below = (static_cast<double>(chunk_maxima_[c]) - maximum) / temperature;
    if (below > -700) total += chunk_sums_[c] * exact_exp(below);
  }
  sum = static_cast<float>(static_cast<double>(maximum) / temperature + exact_log(std::max(total, 1e-300)));
}

void CandidateFinder::from_logits(const Batch& batch, const float* logits, size_t index, BatchResult& result) {
  const size_t v = spec_.vocabulary_size, chunks = head_chunks(v);
  const uint32_t* mask = mask_of(batch, index);
  const size_t wanted = places(batch, spec_), k = mask ? std::min(wanted, allowed_by(mask)) : wanted;
  chunk_maxima_.resize(chunks);
  each(chunks, [&](size_t chunk) {
    const size_t begin = chunk * kHeadChunk;
    chunk_maxima_[chunk] = ops_.maximum(logits + begin, std::min(v, begin + kHeadChunk) - begin);
  });
  if (batch.log_sum_exp) {
    log_sum_exp(logits, batch.temperatures.empty() ? 1.0f : batch.temperatures[index], result.log_sum_exp[index]);
  }
  const float* values = logits;
  if (mask) {
    masked_.assign(logits, logits + v);
    for (size_t c = 0; c < chunks; c++) {
      const size_t begin = c * kHeadChunk, n = std::min(v, begin + kHeadChunk) - begin;
      forbid(mask, begin, n, masked_.data() + begin);
      chunk_maxima_[c] = ops_.maximum(masked_.data() + begin, n);
    }
    values = masked_.data();
  }
  if (k > 0 && select_largest(values, v, k) < k) not_finite();
  std::sort(selected_.begin(), selected_.begin() + static_cast<std::ptrdiff_t>(k), by(values));
  for (size_t i = 0; i < wanted; i++) {
    result.candidate_ids[index * wanted + i] = i < k ? selected_[i] : -1;
    result.candidate_logits[index * wanted + i] = i < k ? values[selected_[i]] : -INFINITY;
  }
  if (batch.extra_offsets.empty()) return;
  for (auto i = batch.extra_offsets[index]; i < batch.extra_offsets[index + 1]; i++) {
    result.extra_logits[static_cast<size_t>(i)] = logits[batch.extra_ids[static_cast<size_t>(i)]];
  }
}

void CandidateFinder::score_rows(const float* x, size_t begin) {
  const DenseMatrix& w = model_.head();
  const size_t d = spec_.embedding_length, n = ids_.size() - begin;
  exact_.resize(ids_.size());
  each((n + kListChunk - 1) / kListChunk, [&](size_t chunk) {
    const size_t at = begin + chunk * kListChunk, count = std::min(kListChunk, begin + n - at);
    if (!copies_rows_) {
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

void CandidateFinder::refine(const SketchedOutput& output, const std::vector<int32_t>& ids, std::vector<float>& refined) {
  const HeadSketch& s = model_.head_sketch();
  const QuantizedRow& q = output.row;
  // The kernel's weights are the levels of this plane.
  const Activations x{output.quantized, round_up(spec_.embedding_length, kActivationPad), &q.sum, 1, nullptr};
  refined.resize(ids.size());
  each((ids.size() + kRefineChunk - 1) / kRefineChunk, [&](size_t chunk) {
    const size_t at = chunk * kRefineChunk, count = std::min(kRefineChunk, ids.size() - at);
    int32_t y[kRefineChunk + 4];
    s.second.kernel->gemv_rows(s.matrix(s.second), x, ids.data() + at, count, y);
    for (size_t i = 0; i < count; i++) {
      const auto row = static_cast<size_t>(ids[at + i]);
      refined[at + i] = output.scores[row] + static_cast<float>(y[i]) * (s.second.scales[row] * q.scale);
    }
  });
}

// In standard deviations errors[row] * by_error + scales[row] * by_scale, from the row's own error and from what x lost in
// quantisation. The deviation is checked against the rows ids_ whose exact logits are known, and widened where they
// disagree. Not finite where nothing can be said.
CandidateFinder::Noise CandidateFinder::noise(const SketchPlane& plane, const float* x, float lost,
                                              const std::vector<float>& sketched) const {
  const float by_error = std::sqrt(ops_.weighted_squares(x, plane.column_weights.data(), spec_.embedding_length));
  // The scale of the first plane carries nearly all of a row's norm.
  const std::vector<float>& scales = model_.head_sketch().first.scales;
  const float by_scale = lost * kLevelRms;
  double mean = 0, squares = 0;
  const auto n = static_cast<double>(ids_.size());
  for (size_t i = 0; i < ids_.size(); i++) {
    const auto row = static_cast<size_t>(ids_[i]);
    const double z = (static_cast<double>(exact_[i]) - sketched[i]) /
                     (static_cast<double>(plane.errors[row]) * by_error + static_cast<double>(scales[row]) * by_scale + 1e-30);
    mean += z;
    squares += z * z;
  }
  mean /= n;
  const auto margin = kMargin * static_cast<float>(std::max(1.0, std::sqrt(std::max(0.0, squares / n - mean * mean))));
  return {margin * by_error, margin * by_scale};
}

bool CandidateFinder::choose_first(const SketchedOutput& output, size_t k, size_t allowed) {
  const HeadSketch& s = model_.head_sketch();
  const bool refines = s.second.bytes() > 0;
  const size_t share = refines ? std::max(kScoredShare * k, std::min(kFirstShare * k, kFirstMost)) : kScoredShare * k;
  const size_t first = std::min(allowed, std::max(kFirstRows, share));
  if (select_largest(output.scores, s.rows, first) < first) return false;
  ids_.assign(selected_.begin(), selected_.begin() + static_cast<std::ptrdiff_t>(first));
  if (!refines) return true;
  refine(output, ids_, refined_);
  const size_t scored = std::min(first, std::max(kScoredRows, kScoredShare * k));
  best_.resize(first);
  for (size_t i = 0; i < first; i++) best_[i] = {ordered(refined_[i]), ids_[i]};
  std::nth_element(best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(scored - 1), best_.end(), better);
  ids_.resize(scored);
  refined_.resize(scored);
  for (size_t i = 0; i < scored; i++) {
    refined_[i] = best_[i].score;
    ids_[i] = best_[i].id;
  }
  return true;
}

float CandidateFinder::bar_of(size_t k) {
  bars_.resize(exact_.size());
  std::transform(exact_.begin(), exact_.end(), bars_.begin(), ordered);
  std::nth_element(bars_.begin(), bars_.begin() + static_cast<std::ptrdiff_t>(k - 1), bars_.end(), std::greater<float>());
  return std::nextafter(bars_[k - 1], -INFINITY);
}

bool CandidateFinder::from_sketch(const Batch& batch, const SketchedOutput& output, size_t index, BatchResult& result) {
  const HeadSketch& s = model_.head_sketch();
  const size_t d = spec_.embedding_length, v = s.rows, chunks = head_chunks(v);
  const uint32_t* mask = mask_of(batch, index);
  const size_t allowed = mask ? allowed_by(mask) : v, k = std::min(batch.candidates, allowed);
  float* scores = output.scores;
  const float* x = output.x;
  stats_.outputs++;

  // 1. The rows with the best scores, exactly: their k-th best is the bar.
  chunk_maxima_.resize(chunks);
  each(chunks, [&](size_t chunk) {
    const size_t begin = chunk * kHeadChunk, n = std::min(v, begin + kHeadChunk) - begin;
    // What may not come is nowhere near the bar.
    if (mask) forbid(mask, begin, n, scores + begin);
    chunk_maxima_[chunk] = ops_.maximum(scores + begin, n);
  });
  if (!choose_first(output, k, allowed)) return false;  // NaN: the whole head reports it
  score_rows(x, 0);
  const size_t first = ids_.size();
  const float bar = bar_of(k);

  // 2. Every other row that the first plane's noise could lift over the bar.
  double lost_squares = 0;
  for (size_t i = 0; i < d; i++) {
    const double e = static_cast<double>(x[i]) - static_cast<double>(output.row.scale) * output.quantized[i];
    lost_squares += e * e;
  }
  const auto lost = static_cast<float>(std::sqrt(lost_squares));
  sketched_.resize(first);
  for (size_t i = 0; i < first; i++) sketched_[i] = scores[static_cast<size_t>(ids_[i])];
  const Noise noise1 = noise(s.first, x, lost, sketched_);
  if (!std::isfinite(noise1.by_error) || !std::isfinite(noise1.by_scale)) return false;
  known_.assign(v, false);  // an earlier call may have ended by an error
  for (int32_t id : ids_) known_[static_cast<size_t>(id)] = true;
  found_.resize(chunks);
  each(chunks, [&](size_t chunk) {
    alignas(64) float upper[kHeadChunk];
    int32_t ids[kHeadChunk];
    const size_t begin = chunk * kHeadChunk, n = std::min(v, begin + kHeadChunk) - begin;
    ops_.add_scaled(scores + begin, s.first.errors.data() + begin, noise1.by_error, s.first.scales.data() + begin,
                    noise1.by_scale, n, upper);
    const size_t count = ops_.select_above(upper, n, bar, static_cast<int32_t>(begin), ids);
    auto& list = found_[chunk];
    list.clear();
    for (size_t i = 0; i < count; i++) {
      if (!known_[static_cast<size_t>(ids[i])]) list.push_back(ids[i]);
    }
  });
  promising_.clear();
  for (const auto& list : found_) promising_.insert(promising_.end(), list.begin(), list.end());

  // 3. Of those, every row that the second plane's noise could.
  if (promising_.size() > v / kGiveUpShare) {
    stats_.fallbacks++;
    return false;
  }
  if (s.second.bytes() && promising_.size() > kListChunk) {
    const Noise noise2 = noise(s.second, x, lost, refined_);
    refine(output, promising_, refined_);
    // Those that are over it by their score raise the bar for the others.
    for (size_t i = 0; i < promising_.size(); i++) {
      if (refined_[i] > bar) ids_.push_back(promising_[i]);
    }
    score_rows(x, first);
    const float raised = bar_of(k);
    for (size_t i = 0; i < promising_.size(); i++) {
      if (refined_[i] > bar) continue;
      const auto row = static_cast<size_t>(promising_[i]);
      const float upper = refined_[i] + s.second.errors[row] * noise2.by_error + s.first.scales[row] * noise2.by_scale;
      if (!(upper <= raised)) ids_.push_back(promising_[i]);
    }
  } else {
    ids_.insert(ids_.end(), promising_.begin(), promising_.end());
  }
  score_rows(x, exact_.size());
  stats_.rows_refined += promising_.size();
  stats_.rows_scored += ids_.size();

  // 4. The best k of the exact ones.
  put_best(batch, k, index, result);
  put_extra(batch, x, index, result);
  return true;
}

void CandidateFinder::from_list(const Batch& batch, const float* x, size_t index, BatchResult& result) {
  const uint32_t* mask = mask_of(batch, index);
  ids_.clear();
  for (size_t id = 0; id < spec_.vocabulary_size; id++) {
    if (mask[id / 32] == 0) {
      id |= 31;
    } else if (allows(mask, id)) {
      ids_.push_back(static_cast<int32_t>(id));
    }
  }
  score_rows(x, 0);
  put_best(batch, std::min(batch.candidates, ids_.size()), index, result);
  put_extra(batch, x, index, result);
}

const uint32_t* CandidateFinder::mask_of(const Batch& batch, size_t index) const {
  if (batch.mask_of.empty() || batch.mask_of[index] < 0) return nullptr;
  const size_t words = (spec_.vocabulary_size + 31) / 32;
  return reinterpret_cast<const uint32_t*>(batch.masks.data()) + static_cast<size_t>(batch.mask_of[index]) * words;
}

size_t CandidateFinder::allowed_by(const uint32_t* mask) const {
  const size_t v = spec_.vocabulary_size;
  size_t count = 0;
  for (size_t word = 0; word < v / 32; word++) count += std::bitset<32>(mask[word]).count();
  // Bits behind the vocabulary count for nothing.
  for (size_t id = v / 32 * 32; id < v; id++) count += allows(mask, id);
  return count;
}

void CandidateFinder::put_best(const Batch& batch, size_t k, size_t index, BatchResult& result) {
  best_.resize(ids_.size());
  for (size_t i = 0; i < ids_.size(); i++) best_[i] = {exact_[i], ids_[i]};
  std::partial_sort(best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(k), best_.end(), better);
  const size_t wanted = places(batch, spec_);
  for (size_t i = 0; i < wanted; i++) {
    const Candidate candidate = i < k ? best_[i] : Candidate{-INFINITY, -1};
    if (std::isnan(candidate.score)) not_finite();
    result.candidate_ids[index * wanted + i] = candidate.id;
    result.candidate_logits[index * wanted + i] = candidate.score;
  }
}

void CandidateFinder::put_extra(const Batch& batch, const float* x, size_t index, BatchResult& result) {
  if (batch.extra_offsets.empty()) return;
  const auto from = batch.extra_offsets[index], to = batch.extra_offsets[index + 1];
  ids_.assign(batch.extra_ids.begin() + from, batch.extra_ids.begin() + to);
  score_rows(x, 0);
  std::copy_n(exact_.begin(), ids_.size(), result.extra_logits.begin() + from);
}

}  // namespace bitnet
