// The end of the pass: output norm, head, and what is asked of the scores (candidates, log-sum-exp, all logits, hidden).
#pragma once

#include <atomic>

#include "engine/batch.h"
#include "engine/model.h"
#include "engine/thread_pool.h"

namespace bitnet {

class OutputHead {
 public:
  OutputHead(const Model& model, ThreadPool& pool) : model_(model), spec_(model.spec()), ops_(model.ops()), pool_(pool) {}

  // `hidden` [tokens][ld]: the last layer's output.
  void run(const Batch& batch, const float* hidden, size_t ld, BatchResult& result);

  // Outputs of the last run with scores (candidates or logits), in order, and all logits of one. Computes them where the
  // run only looked at some rows.
  size_t outputs() const { return outputs_; }
  std::vector<float> logits(size_t index);
  size_t memory_bytes() const { return rows_.bytes() + logits_.bytes() + scores_.bytes() + quantized_.bytes(); }

  // How the sketch fared, since the context was made.
  struct SketchStats {
    std::atomic<uint64_t> outputs{0};      // outputs looked for in the sketch
    std::atomic<uint64_t> rows_refined{0};  // rows of the second plane looked at for them
    std::atomic<uint64_t> rows_scored{0};  // exact rows computed for them
    std::atomic<uint64_t> fallbacks{0};    // outputs that needed the whole head after all
  };
  const SketchStats& sketch_stats() const { return stats_; }

 private:
  // A sorted list of the best logits of one output.
  void from_logits(const Batch& batch, const float* logits, size_t index, BatchResult& result);
  bool from_sketch(const Batch& batch, size_t output, size_t index, BatchResult& result);
  // The same for an output whose mask allows few tokens: the exact logits of just these.
  void from_list(const Batch& batch, size_t output, size_t index, BatchResult& result);
  // The mask of an output with candidates; null where it has none.
  const uint32_t* mask_of(const Batch& batch, size_t index) const;
  size_t allowed_by(const uint32_t* mask) const;
  // The best k of the exact logits in exact_ of ids_, and nothing for what of batch.candidates is beyond.
  void put_best(const Batch& batch, size_t k, BatchResult& result);
  void put_extra(const Batch& batch, size_t output, size_t index, BatchResult& result);
  void log_sum_exp(const float* logits, float temperature, BatchResult& result);
  void head(size_t first, size_t count);
  void sketch_scores(size_t count);
  // The scores of rows `ids` with the second plane added.
  void refine(size_t output, const float* scores, const std::vector<int32_t>& ids, std::vector<float>& refined);
  struct Noise {
    float by_error, by_scale;
  };
  Noise noise(const SketchPlane& plane, const float* x, float lost, const std::vector<int32_t>& ids,
              const std::vector<float>& sketched) const;
  // The exact logits of rows ids[begin..] of output `output`, appended to exact_.
  void score_rows(size_t output, size_t begin);
  // Ids of the k largest of n values in selected_ (unsorted); chunk maxima are in chunk_maxima_. Returns how many.
  size_t select_largest(const float* values, size_t n, size_t k);

  const Model& model_;
  const ModelSpec& spec_;
  const FloatOps& ops_;
  ThreadPool& pool_;
  AlignedBuffer<float> rows_;        // [outputs][embedding] after the output norm
  AlignedBuffer<float> logits_;      // [outputs][vocabulary]
  AlignedBuffer<float> scores_;      // [outputs][vocabulary] of the sketch
  AlignedBuffer<int8_t> quantized_;  // [outputs][embedding, padded]
  std::vector<QuantizedRow> quantized_rows_;
  std::vector<int32_t> sums_;
  std::vector<float> chunk_maxima_, chunk_sums_, masked_;
  std::vector<int32_t> selected_, ids_;
  std::vector<float> exact_;
  std::vector<std::vector<int32_t>> found_;  // per chunk
  std::vector<char> known_;  // per row
  size_t outputs_ = 0;
  bool ran_whole_ = false;  // the last run needed the whole head
  bool left_rows_ = false;  // rows read in place may still be resident
  size_t whole_runs_ = 0;   // runs in a row that did
  std::vector<bool> complete_;  // per output: logits_ holds all of them
  SketchStats stats_;
};

}  // namespace bitnet
