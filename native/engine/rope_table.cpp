#include "engine/rope_table.h"

#include <exception>
#include <thread>

#include "engine/exact_math.h"

namespace bitnet {
namespace {

// From so many entries on a second thread is worth its start: one takes 50 ns.
constexpr size_t kSharedEntries = 8192;

}  // namespace

RopeTable::RopeTable(const RopeSpec& rope, size_t positions) : half_(rope.dimensions / 2) {
  cosines_.resize(positions * half_);
  sines_.resize(positions * half_);
  std::vector<double> frequencies;
  const double log_theta = exact_log(rope.theta);
  for (size_t i = 0; i < half_; i++) {
    // theta^(-2i / dimensions), Su et al. 2021
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rope.dimensions);
    frequencies.push_back(exact_exp(-log_theta * exponent) / (rope.factors.empty() ? 1.0 : rope.factors[i]));
  }
  auto fill = [&](size_t begin, size_t end) {
    for (size_t p = begin; p < end; p++) {
      for (size_t i = 0; i < half_; i++) {
        double s, c;
        exact_sin_cos(static_cast<double>(p) * rope.position_scale * frequencies[i], &s, &c);
        cosines_[p * half_ + i] = static_cast<float>(c * rope.magnitude);
        sines_[p * half_ + i] = static_cast<float>(s * rope.magnitude);
      }
    }
  };
  const size_t middle = positions * half_ < kSharedEntries ? positions : positions / 2;
  std::thread other;
  try {
    if (middle < positions) other = std::thread(fill, middle, positions);
  } catch (const std::exception&) {
    fill(middle, positions);  // the system gives no thread
  }
  fill(0, middle);
  if (other.joinable()) other.join();
}

}  // namespace bitnet
