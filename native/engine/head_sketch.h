// A two-bit sketch of the output head, so that a decoded token reads a sixteenth or an eighth of it.
//
// Row w is written as scale * c + e with c in {-3, -1, 1, 3} and the least-squares scale, so that for an input x whose
// direction is not tied to e, x . w = scale * (x . c) + noise, where the noise has mean 0 and variance
// sum x_i^2 E[e_i^2]. OutputHead computes the sketched scores of all rows, the exact ones of the best, and then the exact
// ones of every row that the noise could lift into the result (see output_head.cpp for the margin).
#pragma once

#include <vector>

#include "aligned_buffer.h"
#include "kernels/kernel.h"

namespace bitnet {

struct HeadSketch {
  const TernaryKernel* kernel = nullptr;  // an I2_S kernel with four levels; null: no sketch
  size_t rows = 0, columns = 0;
  AlignedBuffer<uint8_t> packed;
  std::vector<float> scales;          // [rows]
  std::vector<float> errors;          // [rows] root mean square of e
  std::vector<float> column_weights;  // [columns] mean square of e in a column over that of all; mean 1

  explicit operator bool() const { return kernel != nullptr; }
  size_t prefetch = kDefaultPrefetch;
  PackedMatrix matrix() const { return {packed.data(), rows, columns, prefetch}; }
  size_t bytes() const { return packed.bytes() + (scales.size() + errors.size()) * sizeof(float); }
};

// Heads smaller than this are read whole: there is little to win.
constexpr size_t kSketchFromBytes = size_t{32} << 20;

}  // namespace bitnet
