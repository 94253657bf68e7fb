// The end of the pass: output norm, head, and what is asked of the scores (candidates, log-sum-exp, all logits, hidden).
#pragma once

#include "engine/batch.h"
#include "engine/candidate_finder.h"
#include "engine/model.h"
#include "engine/thread_pool.h"

namespace bitnet {

class OutputHead {
 public:
  OutputHead(const Model& model, ThreadPool& pool);

  // `hidden` [tokens][ld]: the last layer's output.
  void run(const Batch& batch, const float* hidden, size_t ld, BatchResult& result);

  // Outputs of the last run with scores (candidates or logits), in order, and all logits of one. Computes them where the
  // run only looked at some rows.
  size_t outputs() const { return outputs_; }
  std::vector<float> logits(size_t index);
  size_t memory_bytes() const { return rows_.bytes() + logits_.bytes() + scores_.bytes() + quantized_.bytes(); }
  const SketchStats& sketch_stats() const { return stats_; }

 private:
  // An output whose candidates are wanted: its place among those with scores, and among those with candidates.
  struct Wanted {
    size_t output, index;
  };
  template <class F>
  void each_output(const std::vector<Wanted>& wanted, F&& work);
  bool reads_in_place() const;
  std::vector<Wanted> from_sketch(const Batch& batch, const std::vector<Wanted>& wanted, BatchResult& result);
  void head(const std::vector<size_t>& outputs);
  // The first plane's scores of the first `count` outputs.
  void sketch_scores(size_t count);

  const Model& model_;
  const ModelSpec& spec_;
  const FloatOps& ops_;
  ThreadPool& pool_;
  SketchStats stats_;
  std::vector<CandidateFinder> finders_;  // per thread
  AlignedBuffer<float> rows_;             // [outputs][embedding] after the output norm
  AlignedBuffer<float> logits_;           // [outputs][vocabulary]
  AlignedBuffer<float> scores_;           // [outputs][vocabulary] of the sketch
  AlignedBuffer<int8_t> quantized_;       // [outputs][embedding, padded]
  std::vector<QuantizedRow> quantized_rows_;
  std::vector<int32_t> sums_;
  size_t outputs_ = 0;
  bool ran_whole_ = false;      // the last run needed the whole head
  bool left_rows_ = false;      // rows read in place may still be resident
  size_t whole_runs_ = 0;       // runs in a row that did
  std::vector<bool> complete_;  // per output: logits_ holds all of them
};

}  // namespace bitnet
