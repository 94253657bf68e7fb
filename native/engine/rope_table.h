// Cosines and sines of the rotary embedding, computed once per context with exact_math.
#pragma once

#include <vector>

#include "engine/model_spec.h"

namespace bitnet {

class RopeTable {
 public:
  RopeTable(const RopeSpec& rope, size_t positions);
  size_t half() const { return half_; }
  const float* cosines(size_t position) const { return cosines_.data() + position * half_; }
  const float* sines(size_t position) const { return sines_.data() + position * half_; }
  size_t bytes() const { return (cosines_.size() + sines_.size()) * sizeof(float); }

 private:
  size_t half_;
  std::vector<float> cosines_, sines_;
};

}  // namespace bitnet
