// Guesses the token that a text's sampler will choose, so that the next pass can begin before it is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bitnet {

// The part of the samplers (lib/sampling) that most texts use. What it gives is only ever a guess: the text's own sampler
// decides, and a pass that began with another token is dropped. So an exponential may round otherwise here.
struct TokenGuess {
  enum class Step : uint8_t { kTopP = 1, kMinP = 2, kTemperature = 3 };

  double unit = 0;  // the draw's random number, in [0, 1)
  // Behind top-k, which the candidates are; in order.
  std::vector<std::pair<Step, double>> steps;
  std::vector<int32_t> ends;  // tokens behind which no other follows; rising

  // One of `count` candidates, which fall; -1 where there is nothing to begin with.
  int32_t operator()(const int32_t* ids, const float* logits, size_t count) const;
};

}  // namespace bitnet
