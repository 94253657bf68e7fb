#include "engine/output_head.h"

#include <algorithm>
#include <numeric>

namespace bitnet {
namespace {

// The whole head stays resident once it was needed this many runs in a row: below that, its pages go as soon as they were
// read, so that a rare fallback does not leave hundreds of megabytes behind.
constexpr size_t kKeepAfter = 3;

// Masks of up to this many tokens need no sketch: their exact rows are fewer bytes.
#if defined(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
constexpr size_t kFewAllowed = 8;
#else
constexpr size_t kFewAllowed = 1024;
#endif

// Rows of the head that stay in the second cache while they are multiplied with one run of outputs after the other.
constexpr size_t kRowsAtATime = 64;

}  // namespace

OutputHead::OutputHead(const Model& model, ThreadPool& pool)
    : model_(model), spec_(model.spec()), ops_(model.ops()), pool_(pool), finders_(pool.threads(), CandidateFinder(model, stats_)) {}

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

  std::vector<Wanted> wanted;
  bool all_logits = batch.log_sum_exp;
  for (size_t i = 0; i < outputs_; i++) {
    if (batch.want[scored[i]] == Want::kCandidates) wanted.push_back({i, wanted.size()});
    else all_logits = true;
  }
  const size_t places = wanted.size() * std::min(batch.candidates, v);
  result.candidate_ids.resize(places);
  result.candidate_logits.resize(places);
  if (batch.log_sum_exp) result.log_sum_exp.resize(wanted.size());
  if (!batch.extra_offsets.empty()) result.extra_logits.resize(batch.extra_ids.size());

  if (model_.head_sketch() && !all_logits && batch.candidates * 8 <= v) {
    wanted = from_sketch(batch, wanted, result);
    std::vector<size_t> missing;
    missing.reserve(wanted.size());
    for (const Wanted& each : wanted) missing.push_back(each.output);
    head(missing);
  } else {
    std::vector<size_t> all(outputs_);
    std::iota(all.begin(), all.end(), size_t{0});
    head(all);
  }
  each_output(wanted, [&](CandidateFinder& finder, const Wanted& each) {
    finder.from_logits(batch, logits_.data() + each.output * v, each.index, result);
  });
  for (size_t i = 0; i < outputs_; i++) {
    if (batch.want[scored[i]] != Want::kLogits) continue;
    const float* row = logits_.data() + i * v;
    result.logits.insert(result.logits.end(), row, row + v);
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
  if (!complete_[index]) head({index});
  const float* row = logits_.data() + index * spec_.vocabulary_size;
  return std::vector<float>(row, row + spec_.vocabulary_size);
}

// Many outputs share the threads whole, which spares them the waiting for each other at the end of every loop; few are done
// one after the other with all threads.
template <class F>
void OutputHead::each_output(const std::vector<Wanted>& wanted, F&& work) {
  const bool copies = model_.head().large() && !reads_in_place();
  const size_t n = wanted.size(), threads = pool_.threads();
  const bool side_by_side = n >= 3 * threads || (n > 0 && n % threads == 0);
  for (CandidateFinder& finder : finders_) finder.use(side_by_side ? nullptr : &pool_, copies);
  if (!side_by_side) {
    for (const Wanted& each : wanted) work(finders_[0], each);
    return;
  }
  pool_.parallel(n, [&](size_t i, unsigned thread) { work(finders_[thread], wanted[i]); });
}

// A row copied out of the file costs three times one read in place, but leaves no page of the head resident. With 16 outputs
// that was 16 % of a pass, so texts that run side by side read in place, unless memory is short.
bool OutputHead::reads_in_place() const { return model_.head().large() && outputs_ > 1 && !model_.maps_weights(); }

// Those of the outputs that have to be looked for in all logits.
std::vector<OutputHead::Wanted> OutputHead::from_sketch(const Batch& batch, const std::vector<Wanted>& wanted,
                                                        BatchResult& result) {
  const size_t d = spec_.embedding_length, ld_scores = round_up(spec_.vocabulary_size, kRowTile);
  std::vector<char> few, found(wanted.size(), true);
  for (const Wanted& each : wanted) {
    const uint32_t* mask = finders_[0].mask_of(batch, each.index);
    few.push_back(mask && finders_[0].allowed_by(mask) <= kFewAllowed);
  }
  left_rows_ |= reads_in_place();
  if (std::find(few.begin(), few.end(), false) != few.end()) sketch_scores(outputs_);
  each_output(wanted, [&](CandidateFinder& finder, const Wanted& each) {
    const float* x = rows_.data() + each.output * round_up(d, 16);
    if (few[each.index]) return finder.from_list(batch, x, each.index, result);
    const SketchedOutput output{x, scores_.data() + each.output * ld_scores,
                                quantized_.data() + each.output * round_up(d, kActivationPad), quantized_rows_[each.output]};
    found[each.index] = finder.from_sketch(batch, output, each.index, result);
  });
  std::vector<Wanted> missing;
  for (const Wanted& each : wanted) {
    if (!found[each.index]) missing.push_back(each);
  }
  return missing;
}

// All logits of these outputs, which rise: each row of the head is read once for all of them.
void OutputHead::head(const std::vector<size_t>& outputs) {
  if (outputs.empty()) return;
  const DenseMatrix& w = model_.head();
  const size_t v = spec_.vocabulary_size, d = spec_.embedding_length, ld = round_up(d, 16);
  std::vector<std::pair<size_t, size_t>> runs;  // of neighbours: the first, how many
  for (size_t output : outputs) {
    if (!runs.empty() && runs.back().first + runs.back().second == output) runs.back().second++;
    else runs.emplace_back(output, 1);
  }
  const size_t step = runs.size() == 1 ? kHeadChunk : kRowsAtATime;
  const bool let_go = whole_runs_ < kKeepAfter;
  ran_whole_ = true;
  pool_.parallel(head_chunks(v), [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kHeadChunk, end = std::min(v, begin + kHeadChunk);
    for (size_t r = begin; r < end; r += step) {
      for (const auto& [first, count] : runs) {
        ops_.dense(w.type, w.data, d, r, std::min(end, r + step), rows_.data() + first * ld, ld, count, logits_.data() + first * v,
                   v);
      }
    }
    if (let_go) w.release(begin, end);
  });
  for (size_t output : outputs) complete_[output] = true;
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
  const size_t scratch = std::max<size_t>(64, s.first.kernel->scratch_bytes(d));
  pool_.parallel(head_chunks(v), [&](size_t chunk, unsigned) {
    const size_t begin = chunk * kHeadChunk, end = std::min(v, begin + kHeadChunk), n = end - begin;
    thread_local AlignedBuffer<uint8_t> panel;
    thread_local AlignedBuffer<int32_t> y;
    if (panel.size() < scratch) panel = AlignedBuffer<uint8_t>(scratch);
    if (y.size() < count * kHeadChunk) y = AlignedBuffer<int32_t>(count * kHeadChunk);
    s.first.kernel->gemm(s.matrix(s.first), x, y.data() - begin, kHeadChunk, begin, end, panel.data());
    for (size_t t = 0; t < count; t++) {
      // The kernel's weights are code - 1, the sketch's levels 2 * code - 3.
      int32_t* row = y.data() + t * kHeadChunk;
      for (size_t i = 0; i < n; i++) row[i] = 2 * row[i] - sums_[t];
      ops_.dequantize(row, s.first.scales.data() + begin, quantized_rows_[t].scale, n, scores_.data() + t * ldv + begin);
    }
  });
}

}  // namespace bitnet
