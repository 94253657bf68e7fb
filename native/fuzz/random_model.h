// A sound model of any shape in a file in memory, and how to load it: for targets in which the input decides what is done with
// a model that works.
#pragma once

#include <atomic>
#include <optional>

#include "engine/model.h"
#include "fuzz/memory_file.h"
#include "fuzz/plausible.h"

namespace bitnet::fuzz {

// Whether decoding takes its shortcuts.
inline void random_shortcuts(FuzzedDataProvider& in, LoadControl& control) {
  control.sparsity = in.ConsumeBool();
  control.head = static_cast<HeadMode>(in.ConsumeIntegralInRange<int>(0, 2));
}

struct RandomModel {
  // `most_bytes`: of its file.
  RandomModel(FuzzedDataProvider& in, uint64_t most_bytes, unsigned most_threads) {
    const RandomSpec made = random_spec(in, false);
    if (made.file_bytes == 0 || made.file_bytes > most_bytes) return;
    kernel = random_kernel(in);
    control.threads = in.ConsumeIntegralInRange<unsigned>(1, most_threads);
    random_shortcuts(in, control);
    contents = plausible_contents(made, in.ConsumeIntegral<uint16_t>());
    spec = made.spec;
    spec.files = {file.emplace(contents).path()};
  }

  // False where the shape has no file, or too large a one.
  explicit operator bool() const { return file.has_value(); }
  std::shared_ptr<const Model> load() { return Model::load(spec, kernel, control); }

  ModelSpec spec;
  std::string kernel;
  std::vector<uint8_t> contents;
  std::optional<MemoryFile> file;
  std::atomic<bool> cancelled{false};
  LoadControl control{cancelled};
};

}  // namespace bitnet::fuzz
