#include "engine/kernel_workload.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "engine/product_chunks.h"
#include "engine/seeded_random.h"

namespace bitnet {
namespace {

// Memory that a thread copies at a time.
constexpr size_t kCopyPiece = size_t{1} << 20;

}  // namespace

RandomActivations::RandomActivations(size_t columns, size_t tokens)
    : columns_(columns), tokens_(tokens), stride_(round_up(columns, kActivationPad)), values_(tokens * stride_), sums_(tokens),
      scales_(tokens) {
  std::memset(values_.data(), 0, values_.bytes());
  uint64_t state = columns * 31 + tokens;
  for (size_t t = 0; t < tokens; t++) {
    scales_[t] = static_cast<float>(1 + t % 7) * 0x1p-7f;
    for (size_t k = 0; k < columns; k++) {
      // As quantised activations are: most values small, the largest 127.
      const uint64_t bits = next_random(state);
      const auto value = static_cast<int8_t>(bits & 0xff);
      const auto q = static_cast<int8_t>(bits >> 8 & 63 ? value / 4 : value);
      values_[t * stride_ + k] = q;
      sums_[t] += q;
    }
  }
}

Activations RandomActivations::view(const MatrixKernel& kernel) const {
  return {values_.data(), stride_, sums_.data(), tokens_, kernel.table_bytes(columns_) ? tables_.data() : nullptr};
}

void RandomActivations::build_tables(const MatrixKernel& kernel, ThreadPool& pool) {
  const size_t bytes = kernel.table_bytes(columns_);
  if (!bytes) return;
  if (tables_.size() < bytes * tokens_) tables_ = AlignedBuffer<uint8_t>(bytes * tokens_);
  auto build = [&](size_t t, unsigned) { kernel.build_table(row(t), columns_, tables_.data() + t * bytes); };
  if (tokens_ == 1) {
    build(0, 0);
  } else {
    pool.parallel(tokens_, build);
  }
}

PackedCopies::PackedCopies(const MatrixKernel& kernel, const CodeSlab& slab, size_t rows, size_t copies, uint8_t* memory,
                           ThreadPool& pool)
    : kernel_(kernel), rows_(rows), columns_(slab.columns()), copies_(copies), memory_(memory) {
  const size_t size = kernel.packed_bytes(rows, columns_);
  pool.parallel((rows + CodeSlab::kRows - 1) / CodeSlab::kRows, [&](size_t piece, unsigned) {
    const size_t row = piece * CodeSlab::kRows;
    kernel.pack(slab, row, std::min(CodeSlab::kRows, rows - row), rows, memory);
  });
  const size_t pieces = (size + kCopyPiece - 1) / kCopyPiece;
  pool.parallel((copies - 1) * pieces, [&](size_t chunk, unsigned) {
    const size_t copy = 1 + chunk / pieces, begin = chunk % pieces * kCopyPiece;
    std::memcpy(memory + copy * size + begin, memory + begin, std::min(kCopyPiece, size - begin));
  });
}

PackedMatrix PackedCopies::next(size_t prefetch) {
  const uint8_t* data = memory_ + position_ * kernel_.packed_bytes(rows_, columns_);
  position_ = (position_ + 1) % copies_;
  return {data, rows_, columns_, prefetch};
}

ProductRunner::ProductRunner(ThreadPool& pool, size_t most_rows, size_t most_tokens)
    : pool_(pool), output_(most_tokens * round_up(most_rows, kRowTile) + kRowTile), scratch_(pool.threads()) {
  std::memset(output_.data(), 0, output_.bytes());
}

double ProductRunner::run(const MatrixKernel& kernel, const PackedMatrix& w, RandomActivations& x) {
  for (auto& scratch : scratch_) {
    const size_t bytes = kernel.scratch_bytes(w.columns) + 64;
    if (scratch.size() < bytes) scratch = AlignedBuffer<uint8_t>(bytes);
  }
  const auto start = std::chrono::steady_clock::now();
  x.build_tables(kernel, pool_);
  const Activations view = x.view(kernel);
  const size_t step = product_chunk_rows(kernel.batch_rows(), w.rows, view.count, pool_.threads());
  pool_.parallel((w.rows + step - 1) / step, [&](size_t chunk, unsigned thread) {
    const size_t begin = chunk * step, end = std::min(w.rows, begin + step);
    kernel.gemm(w, view, x.scales(), output_.data(), stride(w), begin, end, scratch_[thread].data());
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace bitnet
