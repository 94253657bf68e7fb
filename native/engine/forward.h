// One batched decoder pass.
#pragma once

#include <atomic>

#include "engine/batch.h"
#include "engine/model.h"
#include "engine/output_head.h"
#include "engine/rope_table.h"
#include "engine/thread_pool.h"

namespace bitnet {

class Forward {
 public:
  Forward(const Model& model, KvCache& cache, unsigned threads, size_t max_batch, size_t max_positions);

  // Throws Error(kAborted) between two layers once `cancelled` is set.
  BatchResult run(const Batch& batch, const std::atomic<bool>& cancelled);

  OutputHead& output_head() { return output_head_; }
  const OutputHead& output_head() const { return output_head_; }
  size_t memory_bytes() const;

  // What activation sparsity found in tokens that were decoded alone or a few side by side, since the context was made.
  struct SparsityStats {
    std::atomic<uint64_t> rows{0}, live_rows{0};      // of the gate, where up could be skipped
    std::atomic<uint64_t> inputs{0}, live_inputs{0};  // of the down projection
  };
  const SparsityStats& sparsity() const { return sparsity_; }

 private:
  // Per thread.
  struct Scratch {
    AlignedBuffer<int32_t> sums;             // [tokens][chunk rows]
    AlignedBuffer<float> products, gates;    // [tokens][chunk rows]
    AlignedBuffer<uint8_t> kernel;
    AlignedBuffer<float> normed, scores, attention, gathered;
    std::vector<int8_t> unordered;            // a quantised row before its columns are put in order
    std::vector<const uint8_t*> keys, values;
    std::vector<int32_t> live;                // rows whose gate is open
    std::vector<float> live_values, live_scales;
  };
  // A token's place: which run, which position.
  struct Place {
    const Run* run;
    size_t position;
  };

  void embed(const Batch& batch);
  void announce(const Linear& next);
  // The product that comes after the next one: what a thread fetches when it reaches the end of its share. Null: none.
  void follow_with(const Linear* next) { following_ = next; }
  const uint8_t* after_share(size_t chunk, size_t chunks, unsigned thread) const;
  void attention_block(size_t layer);
  size_t query_tokens(size_t positions) const;
  // Query heads first_head .. first_head + count, which share a KV head, of `tokens` consecutive tokens of a run.
  void attend(size_t layer, size_t token, size_t tokens, size_t first_head, size_t count, unsigned thread);
  void rotate_and_store(size_t layer, size_t token, size_t kv_head);
  void ffn_block(size_t layer);
  // Squared ReLU's zeros, exactly (forward_sparse.cpp).
  bool gated_rows(const Layer& layer, const Activations& x, size_t begin, size_t end, size_t step, Scratch& scratch, float* out,
                  size_t ld);
  void gated_live(const Layer& layer, const Activations& x, float scale, const float* gates, size_t begin, size_t end,
                  size_t live, Scratch& scratch, float* out);
  // out = (out +) linear * x over the inputs that are live in each token, rows of out `ld` floats apart. Returns false, having
  // written nothing, where multiplying all inputs that any token has is faster.
  bool multiply_live(const Linear& linear, const Activations& x, float* out, size_t ld, bool add);
  bool list_live(const Linear& linear, const Activations& x);
  bool long_batch_lives(const Linear& linear, const Activations& x);
  void list_inputs(const Linear& linear, const Activations& x);
  void multiply_listed(const Linear& linear, const Activations& x, const float* scales, float* out, size_t ld, bool add);
  // Those inputs of all tokens side by side; which they are is in live_columns_.
  Activations gather_live(const Linear& linear, const Activations& x);
  void add_normed(float* x, size_t ldx, const std::vector<float>& weight);

  // Norms (where `weight` isn't empty) and quantises the rows of x, `ldx` floats apart, for one product or for two that
  // share their input: in the order of its columns, with the tables that its kernels look up.
  Activations quantize_rows(const float* x, size_t ldx, const std::vector<float>& weight, const Linear& use,
                            const Linear* other_use = nullptr);
  // Rows begin..end of linear * x as floats, [token][step] into `out`.
  // `after`: PackedMatrix::after.
  void product(const Linear& linear, const Activations& x, size_t begin, size_t end, size_t step, Scratch& scratch,
               float* out, const uint8_t* after = nullptr);
  // Runs the product in chunks of rows; epilogue(token, row, count, values) consumes a chunk of one token.
  template <class Epilogue>
  void multiply(const Linear& linear, const Activations& x, Epilogue&& epilogue) {
    multiply_rows(linear, x, 0, linear.rows, epilogue);
  }
  // The same for rows first .. last; `first` is a multiple of kRowTile.
  template <class Epilogue>
  void multiply_rows(const Linear& linear, const Activations& x, size_t first, size_t last, Epilogue&& epilogue);
  const float* normed_rows(const std::vector<float>& weight);
  size_t chunk_rows(size_t rows, size_t tokens) const;
  size_t chunk_rows(const Linear& linear, size_t rows, size_t tokens) const;

  const Model& model_;
  const ModelSpec& spec_;
  const TernaryKernel& kernel_;
  const FloatOps& ops_;
  KvCache& cache_;
  ThreadPool pool_;
  OutputHead output_head_;
  RopeTable rope_, local_rope_;  // local_rope_ has no positions where no layer is local
  const size_t head_stride_, group_, q_rows_, kv_rows_;  // group_: query heads that share a KV head

  size_t tokens_ = 0;  // of the current batch
  const Linear* following_ = nullptr;
  std::vector<std::pair<size_t, size_t>> head_shares_;  // first query head, how many; empty: KV heads go evenly
  bool single_ = true;  // every run has one token
  std::vector<Place> places_;
  std::vector<std::pair<size_t, size_t>> spans_;  // tokens whose queries are attended together: first, how many
  std::vector<uint8_t> embedded_;    // a row of a large embedding, as it is in the file
  AlignedBuffer<float> hidden_;      // [tokens][embedding]
  AlignedBuffer<float> intermediate_;  // what the next three lie in
  float* qkv_;                       // [tokens][(heads + 2 kv heads)][head_stride]
  float* attended_;                  // [tokens][heads * head_dim]
  float* ffn_;                       // [tokens][ffn]; shares its place with the others
  AlignedBuffer<int8_t> quantized_;  // [tokens][widest input, padded]
  std::vector<float> scales_;        // [tokens] of the quantised rows
  std::vector<int32_t> sums_;
  std::vector<Scratch> scratch_;
  // Of the batch's down projection: every token's live inputs, [tokens][ffn], and how many they are; those that any has.
  std::vector<ColumnId> live_inputs_, any_inputs_;
  size_t live_counts_[kMostLiveTokens] = {}, any_count_ = 0;
  std::vector<int8_t> any_live_;     // not 0 where an input is live in any token
  ColumnList live_columns_{};        // what gather_live left
  SparsityStats sparsity_;
  AlignedBuffer<uint8_t> tables_, group_tables_;  // [tokens] of the quantised rows, for ternary and group-scaled products
};

}  // namespace bitnet
