#include "engine/rope_table.h"

#include "engine/exact_math.h"

namespace bitnet {

RopeTable::RopeTable(const ModelSpec& spec, size_t positions) : half_(spec.rope_dimensions / 2) {
  cosines_.resize(positions * half_);
  sines_.resize(positions * half_);
  const double log_theta = exact_log(spec.rope_theta);
  for (size_t i = 0; i < half_; i++) {
    // theta^(-2i / dimensions), Su et al. 2021
    const double frequency = exact_exp(-log_theta * (2.0 * static_cast<double>(i) / static_cast<double>(spec.rope_dimensions)));
    for (size_t p = 0; p < positions; p++) {
      double s, c;
      exact_sin_cos(static_cast<double>(p) * spec.rope_position_scale * frequency, &s, &c);
      cosines_[p * half_ + i] = static_cast<float>(c);
      sines_[p * half_ + i] = static_cast<float>(s);
    }
  }
}

}  // namespace bitnet
