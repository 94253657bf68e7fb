// A model specification made of fuzz input, as the addon's spec reader could hand over: mostly consistent, so that loading
// gets past the checks.
#pragma once

#include "engine/model_spec.h"
#include "fuzz/fuzz.h"

namespace bitnet::fuzz {

struct RandomSpec {
  ModelSpec spec;
  uint64_t file_bytes = 0;  // what the tensors need
};

// `damaged`: with a few fields set to anything, now and then.
RandomSpec random_spec(FuzzedDataProvider& in, bool damaged = true);

// A kernel that this CPU runs, by name.
std::string random_kernel(FuzzedDataProvider& in);

}  // namespace bitnet::fuzz
