// A two-level sketch of the output head, so that a decoded token reads an eighth of an f16 head.
//
// Row w is written as scale * c + e with c in {-3, -1, 1, 3} and the least-squares scale, so that for an input x whose
// direction is not tied to e, x . w = scale * (x . c) + noise, where the noise has mean 0 and variance
// sum x_i^2 E[e_i^2]. A second plane sketches e with c in {-1, 0, 1}, in 1.6 bits a weight where a kernel reads lists of such
// rows, and is read for the promising rows only. OutputHead
// computes the first plane's scores of all rows, the second's of those that the first's noise could lift into the result,
// and the exact logits of those that the second's could (see output_head.cpp for the margin).
#pragma once

#include <vector>

#include "engine/weight_region.h"
#include "kernels/kernel.h"

namespace bitnet {

struct SketchPlane {
  const TernaryKernel* kernel = nullptr;
  int levels = 4;  // of c; 3 in the second plane
  WeightView packed;
  std::vector<float> scales;          // [rows]
  std::vector<float> errors;          // [rows] root mean square of what the plane leaves
  std::vector<float> column_weights;  // [columns] mean square of that in a column over that of all; mean 1
  size_t bytes() const { return packed.bytes() + (scales.size() + errors.size()) * sizeof(float); }
};

struct HeadSketch {
  size_t rows = 0, columns = 0;
  size_t prefetch = kDefaultPrefetch;
  SketchPlane first;
  SketchPlane second;  // empty where no kernel can multiply lists of rows

  explicit operator bool() const { return first.kernel != nullptr; }
  PackedMatrix matrix(const SketchPlane& plane) const { return {plane.packed.data(), rows, columns, prefetch}; }
  size_t bytes() const { return first.bytes() + second.bytes(); }
};

}  // namespace bitnet
