#include "engine/rope_table.h"

#include "engine/exact_math.h"

namespace bitnet {

RopeTable::RopeTable(const RopeSpec& rope, size_t positions) : half_(rope.dimensions / 2) {
  cosines_.resize(positions * half_);
  sines_.resize(positions * half_);
  const double log_theta = exact_log(rope.theta);
  for (size_t i = 0; i < half_; i++) {
    // theta^(-2i / dimensions), Su et al. 2021
    double frequency = exact_exp(-log_theta * (2.0 * static_cast<double>(i) / static_cast<double>(rope.dimensions)));
    if (!rope.factors.empty()) frequency /= rope.factors[i];
    for (size_t p = 0; p < positions; p++) {
      double s, c;
      exact_sin_cos(static_cast<double>(p) * rope.position_scale * frequency, &s, &c);
      cosines_[p * half_ + i] = static_cast<float>(c * rope.magnitude);
      sines_[p * half_ + i] = static_cast<float>(s * rope.magnitude);
    }
  }
}

}  // namespace bitnet
