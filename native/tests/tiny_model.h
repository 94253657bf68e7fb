// A small random model in a temporary file, for tests of what runs a model.
#pragma once

#include <memory>
#include <string>

#include "engine/model.h"

namespace bitnet::tests {

// Of `layers` layers, width 64, two query heads a KV head, 100 tokens, 256 positions; ternary weights in I2_S.
class TinyModel {
 public:
  explicit TinyModel(unsigned seed, size_t layers = 2);
  ~TinyModel();  // removes the file
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;

  const ModelSpec& spec() const { return spec_; }
  std::shared_ptr<const Model> load(const std::string& kernel, unsigned threads, const std::atomic<bool>& cancelled) const;
  std::shared_ptr<const Model> load(const std::string& kernel = "", unsigned threads = 2) const;

 private:
  ModelSpec spec_;
  std::string path_;
};

}  // namespace bitnet::tests
