// Contents for the tensors of a random_spec.h specification with which a model computes finite numbers, so that a target
// gets to what depends on them: random weights, scales and codes that each format can hold.
#pragma once

#include "fuzz/random_spec.h"

namespace bitnet::fuzz {

// The bytes of the whole file; the same for the same seed.
std::vector<uint8_t> plausible_contents(const RandomSpec& made, uint32_t seed);

}  // namespace bitnet::fuzz
