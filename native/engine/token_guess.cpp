#include "engine/token_guess.h"

#include <algorithm>
#include <cmath>

namespace bitnet {

int32_t TokenGuess::operator()(const int32_t* ids, const float* logits, size_t count) const {
  if (count == 0 || !std::isfinite(logits[0])) return -1;
  double temperature = 1;
  const double first = logits[0];
  auto weight = [&](size_t i) { return std::exp((static_cast<double>(logits[i]) - first) / temperature); };
  auto mass = [&] {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += weight(i);
    return sum;
  };
  // How many from the front weigh more than `bound` together; all where rounding leaves them short of it.
  auto front = [&](double bound, bool reached) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
      sum += weight(i);
      if (sum > bound || (reached && sum >= bound)) return i + 1;
    }
    return count;
  };
  for (const auto& [step, value] : steps) {
    switch (step) {
      case Step::kTopP:
        count = front(value * mass(), true);
        break;
      case Step::kMinP:
        for (size_t i = 1; i < count; i++) {
          if (weight(i) < value) count = i;
        }
        break;
      case Step::kTemperature:
        temperature *= value;
        break;
    }
  }
  const int32_t token = ids[front(unit * mass(), false) - 1];
  return std::binary_search(ends.begin(), ends.end(), token) ? -1 : token;
}

}  // namespace bitnet
