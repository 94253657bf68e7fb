// The C++ side of ModelSpec (types/addon.d.ts): what TypeScript found in the files, as plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/float_ops.h"

namespace bitnet {

struct GptqRef;

struct TensorRef {
  std::string name;
  size_t file = 0;
  uint64_t offset = 0;
  uint64_t byte_length = 0;
  std::string format;
  size_t rows = 0;
  size_t columns = 0;
  std::optional<float> scale;
  size_t unpermute_heads = 0;
  float add = 0;  // to every element of a vector
  std::shared_ptr<const GptqRef> gptq;  // what goes with GPTQ codes
  bool grouped = false;  // found while loading: scales differ within a row, or weights aren't ternary
};

struct GptqRef {
  size_t size = 0;
  int zero_offset = 0;
  TensorRef scales, zeros;
  std::optional<TensorRef> index;
};

struct LayerSpec {
  TensorRef attn_norm, q, k, v, attn_output, ffn_norm, gate, up, down;
  std::optional<TensorRef> q_norm, k_norm, attn_sub_norm, attn_post_norm, ffn_sub_norm, ffn_post_norm;
  std::optional<TensorRef> q_bias, k_bias, v_bias;
  std::optional<TensorRef> q_input_norm, k_input_norm, v_input_norm, gate_input_norm, up_input_norm;
  bool local = false;
};

struct RopeSpec {
  double theta = 0;
  size_t dimensions = 0;
  double position_scale = 1;
  std::vector<double> factors;  // per frequency; empty: all 1
  double magnitude = 1;         // of cosines and sines (YaRN's attention factor)
};

struct ModelSpec {
  std::vector<std::string> files;
  std::string architecture;
  size_t vocabulary_size = 0;
  size_t context_length = 0;
  size_t embedding_length = 0;
  size_t layer_count = 0;
  size_t head_count = 0;
  size_t head_count_kv = 0;
  size_t head_dim = 0;
  size_t ffn_length = 0;
  float rms_norm_epsilon = 0;
  Activation activation = Activation::kRelu2;
  RopeSpec rope;
  std::optional<RopeSpec> local_rope;
  size_t sliding_window = 0;  // of local layers
  float embedding_scale = 1;
  TensorRef token_embedding, output_norm;
  std::optional<TensorRef> output;
  std::vector<LayerSpec> layers;
};

// Refuses dimensions that are zero, absurd or don't fit together, and tensors whose shape or byte length isn't theirs,
// before anything is allocated. Throws Error naming the dimension or tensor.
void validate(const ModelSpec& spec, const std::vector<uint64_t>& file_sizes);

}  // namespace bitnet
