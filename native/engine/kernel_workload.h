// Products to time: a matrix of a kernel, packed as models are, once or in as many copies as it takes to leave the caches.
// Shared by the tuner and the kernel benchmark.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "aligned_buffer.h"
#include "engine/matrix_kernel.h"
#include "engine/thread_pool.h"

namespace bitnet {

// Activations of `tokens` tokens of random int8 values, for every kernel.
class RandomActivations {
 public:
  RandomActivations(size_t columns, size_t tokens);
  // Looks-up families take their tables from `tables`, which build_tables fills.
  Activations view(const MatrixKernel& kernel) const;
  // What a forward pass does for every input of a product; nothing for multiply-add families.
  void build_tables(const MatrixKernel& kernel, ThreadPool& pool);
  const int8_t* row(size_t token) const { return values_.data() + token * stride_; }
  size_t tokens() const { return tokens_; }
  // The tokens' scales, for group-scaled weights.
  const float* scales() const { return scales_.data(); }

 private:
  size_t columns_, tokens_, stride_;
  AlignedBuffer<int8_t> values_;
  std::vector<int32_t> sums_;
  std::vector<float> scales_;
  AlignedBuffer<uint8_t> tables_;
};

// A packed matrix in `copies` places of one region.
class PackedCopies {
 public:
  // Packs one copy with the pool and copies it to the rest. `memory` has at least bytes() bytes and is 64-byte aligned.
  PackedCopies(const MatrixKernel& kernel, const CodeSlab& slab, size_t rows, size_t copies, uint8_t* memory,
               ThreadPool& pool);

  static size_t bytes(const MatrixKernel& kernel, size_t rows, size_t columns, size_t copies) {
    return kernel.packed_bytes(rows, columns) * copies;
  }
  // A matrix that was not used for as long as possible.
  PackedMatrix next(size_t prefetch);
  const MatrixKernel& kernel() const { return kernel_; }
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }

 private:
  MatrixKernel kernel_;
  size_t rows_, columns_, copies_, position_ = 0;
  uint8_t* memory_;
};

// Runs products as the forward pass does: chunks of rows, claimed by the pool's threads.
class ProductRunner {
 public:
  ProductRunner(ThreadPool& pool, size_t most_rows, size_t most_tokens);
  // Seconds of one product, tables included. The output of token t starts at output() + t * stride(w): 4 bytes a value,
  // int32 or float.
  double run(const MatrixKernel& kernel, const PackedMatrix& w, RandomActivations& x);
  const uint32_t* output() const { return output_.data(); }
  static size_t stride(const PackedMatrix& w) { return round_up(w.rows, kRowTile); }

 private:
  ThreadPool& pool_;
  AlignedBuffer<uint32_t> output_;
  std::vector<AlignedBuffer<uint8_t>> scratch_;
};

// The middle value; of an even count the lower one of the two. Empty: 0.
double median(std::vector<double> values);

}  // namespace bitnet
