// What is asked of the scores of one output: its best logits, their log-sum-exp, logits of single tokens.
#pragma once

#include <atomic>

#include "engine/batch.h"
#include "engine/model.h"
#include "engine/thread_pool.h"

namespace bitnet {

// Rows of the head a thread computes at a time. A constant, never a function of the thread count: the log-sum-exp is
// added up chunk by chunk, so this is part of the result's definition.
constexpr size_t kHeadChunk = 1024;
constexpr size_t head_chunks(size_t n) { return (n + kHeadChunk - 1) / kHeadChunk; }

struct Candidate {
  float score;
  int32_t id;
};

// An output whose scores the sketch gave.
struct SketchedOutput {
  const float* x;           // [embedding, padded] after the output norm
  float* scores;            // [vocabulary] of the first plane
  const int8_t* quantized;  // x as the sketch's kernel takes it
  QuantizedRow row;
};

// How the sketch fared, since the context was made.
struct SketchStats {
  std::atomic<uint64_t> outputs{0};       // outputs looked for in the sketch
  std::atomic<uint64_t> rows_refined{0};  // rows of the second plane looked at for them
  std::atomic<uint64_t> rows_scored{0};   // exact rows computed for them
  std::atomic<uint64_t> fallbacks{0};     // outputs that needed the whole head after all
};

// One output at a time; its loops run on all threads of a pool, or on the calling one, so that several finders can work
// side by side. The results are the same bits either way. They go to an output's place in a `BatchResult` that has room.
class CandidateFinder {
 public:
  CandidateFinder(const Model& model, SketchStats& stats) : model_(model), spec_(model.spec()), ops_(model.ops()), stats_(stats) {}

  // Where the loops of the next calls run (null: on the calling thread), and whether exact rows are copied out of the file.
  void use(ThreadPool* pool, bool copies_rows) {
    pool_ = pool;
    copies_rows_ = copies_rows;
  }

  // From all logits [vocabulary].
  void from_logits(const Batch& batch, const float* logits, size_t index, BatchResult& result);
  // Through the sketch. False, and nothing found, where too many rows would have to be looked at.
  bool from_sketch(const Batch& batch, const SketchedOutput& output, size_t index, BatchResult& result);
  // For an output whose mask allows few tokens: the exact logits of just these.
  void from_list(const Batch& batch, const float* x, size_t index, BatchResult& result);

  // The mask of an output with candidates; null where it has none. How many tokens it allows.
  const uint32_t* mask_of(const Batch& batch, size_t index) const;
  size_t allowed_by(const uint32_t* mask) const;

 private:
  // What a plane leaves unknown of a row's score, times the margin.
  struct Noise {
    float by_error, by_scale;
  };
  template <class F>
  void each(size_t chunks, F&& work) {
    if (pool_) return pool_->parallel(chunks, [&](size_t chunk, unsigned) { work(chunk); });
    for (size_t chunk = 0; chunk < chunks; chunk++) work(chunk);
  }
  void log_sum_exp(const float* logits, float temperature, float& sum);
  // Ids of the k largest of n values in selected_ (unsorted); chunk maxima are in chunk_maxima_. Returns how many.
  size_t select_largest(const float* values, size_t n, size_t k);
  // The first rows to be scored exactly in ids_: those that the sketch puts first, by both planes where there are two; their
  // scores by both in refined_. False where the first plane's scores are not numbers.
  bool choose_first(const SketchedOutput& output, size_t k, size_t allowed);
  // What an exact logit must exceed to be among the k best of exact_ or equal to the last of them.
  float bar_of(size_t k);
  // The scores of rows `ids` with the second plane added.
  void refine(const SketchedOutput& output, const std::vector<int32_t>& ids, std::vector<float>& refined);
  Noise noise(const SketchPlane& plane, const float* x, float lost, const std::vector<float>& sketched) const;
  // The exact logits of rows ids_[begin..], appended to exact_.
  void score_rows(const float* x, size_t begin);
  // The best k of the exact logits in exact_ of ids_, and nothing for what of the wanted ones is beyond.
  void put_best(const Batch& batch, size_t k, size_t index, BatchResult& result);
  void put_extra(const Batch& batch, const float* x, size_t index, BatchResult& result);

  const Model& model_;
  const ModelSpec& spec_;
  const FloatOps& ops_;
  SketchStats& stats_;
  ThreadPool* pool_ = nullptr;
  bool copies_rows_ = false;
  std::vector<float> chunk_maxima_, chunk_sums_, masked_;
  std::vector<int32_t> selected_, ids_;
  std::vector<float> exact_, sketched_, refined_, bars_;
  std::vector<Candidate> best_;
  std::vector<std::vector<int32_t>> found_;  // per chunk
  std::vector<int32_t> promising_;
  std::vector<char> known_;  // per row
};

}  // namespace bitnet
