#include "engine/model_spec.h"

#include <cmath>

#include "error.h"
#include "formats/format.h"

namespace bitnet {
namespace {

void require(bool ok, const char* code, const std::string& message) {
  if (!ok) throw Error(code, message);
}

void check_range(const char* name, size_t value, size_t low, size_t high) {
  require(value >= low && value <= high, kUnsupportedModel,
          std::string(name) + " is " + std::to_string(value) + "; this engine takes " + std::to_string(low) + " to " +
              std::to_string(high) + ".");
}

enum class Use { kTernary, kDense, kVector };

struct Checker {
  const ModelSpec& spec;
  const std::vector<uint64_t>& file_sizes;

  void tensor(const TensorRef& t, size_t rows, size_t columns, Use use) const {
    const std::string name = "Tensor \"" + t.name + "\"";
    require(t.rows == rows && t.columns == columns, kModelFormat,
            name + " is " + std::to_string(t.rows) + " x " + std::to_string(t.columns) + ", the model's dimensions ask for " +
                std::to_string(rows) + " x " + std::to_string(columns) + ".");
    const Format& format = find_format(t.format, t.name);
    require(use == Use::kTernary ? format.unpack_codes != nullptr : format.dense_type != kNoDense, kUnsupportedModel,
            name + " is stored as " + t.format + ", which cannot serve as a " +
                (use == Use::kTernary ? "ternary matrix" : "dense tensor") + ".");
    const size_t bytes = format.bytes(rows, columns);
    require(bytes != 0, kModelFormat, name + ": " + t.format + " cannot hold " + std::to_string(columns) + " columns.");
    require(bytes == t.byte_length, kModelFormat,
            name + " has " + std::to_string(t.byte_length) + " bytes, its shape and type need " + std::to_string(bytes) + ".");
    require(t.file < file_sizes.size(), kModelFormat, name + " names a file that is not part of the model.");
    require(t.offset <= file_sizes[t.file] && t.byte_length <= file_sizes[t.file] - t.offset, kModelFormat,
            name + " ends beyond " + spec.files[t.file] + ": the file is truncated. Get it again.");
    if (use == Use::kTernary) {
      require(t.scale.has_value() != (format.scale != nullptr), kModelFormat,
              name + (t.scale ? " has two scales." : " has no scale."));
      require(!t.scale || std::isfinite(*t.scale), kModelFormat, name + " has a scale that is not a number.");
    }
    const size_t alignment = t.format == "f32" ? 4 : t.format == "f16" || t.format == "bf16" ? 2 : 1;
    require(t.offset % alignment == 0, kModelFormat, name + " is not aligned to its element size.");
  }

  void vector(const TensorRef& t, size_t n) const { tensor(t, 1, n, Use::kVector); }
  void vector(const std::optional<TensorRef>& t, size_t n) const {
    if (t) vector(*t, n);
  }
};

}  // namespace

void validate(const ModelSpec& spec, const std::vector<uint64_t>& file_sizes) {
  check_range("The vocabulary size", spec.vocabulary_size, 1, 1u << 24);
  check_range("The context length", spec.context_length, 1, 1u << 24);
  check_range("The embedding length", spec.embedding_length, 1, 65536);
  check_range("The number of layers", spec.layer_count, 1, 1024);
  check_range("The number of attention heads", spec.head_count, 1, 1024);
  check_range("The number of KV heads", spec.head_count_kv, 1, spec.head_count);
  check_range("The head dimension", spec.head_dim, 2, 1024);
  check_range("The FFN length", spec.ffn_length, 1, kMaxColumns);
  check_range("heads x head dimension", spec.head_count * spec.head_dim, 1, kMaxColumns);
  check_range("The number of rotated dimensions", spec.rope_dimensions, 2, spec.head_dim);
  require(spec.head_count % spec.head_count_kv == 0, kUnsupportedModel,
          "The number of attention heads (" + std::to_string(spec.head_count) + ") is not a multiple of the KV heads (" +
              std::to_string(spec.head_count_kv) + ").");
  require(spec.rope_dimensions % 2 == 0, kUnsupportedModel, "The number of rotated dimensions is odd.");
  require(std::isfinite(spec.rope_theta) && spec.rope_theta >= 1, kUnsupportedModel, "The RoPE base must be at least 1.");
  require(std::isfinite(spec.rope_position_scale) && spec.rope_position_scale > 0, kUnsupportedModel,
          "The RoPE position scale must be above 0.");
  require(std::isfinite(spec.rms_norm_epsilon) && spec.rms_norm_epsilon > 0 && spec.rms_norm_epsilon < 1,
          kUnsupportedModel, "The RMSNorm epsilon must lie between 0 and 1.");
  require(std::isfinite(spec.embedding_scale), kUnsupportedModel, "The embedding scale is not a number.");
  require(spec.layers.size() == spec.layer_count, kModelFormat,
          "The model describes " + std::to_string(spec.layers.size()) + " layers instead of " +
              std::to_string(spec.layer_count) + ".");

  const size_t d = spec.embedding_length, f = spec.ffn_length;
  const size_t q = spec.head_count * spec.head_dim, kv = spec.head_count_kv * spec.head_dim;
  const Checker check{spec, file_sizes};
  check.tensor(spec.token_embedding, spec.vocabulary_size, d, Use::kDense);
  if (spec.output) check.tensor(*spec.output, spec.vocabulary_size, d, Use::kDense);
  check.vector(spec.output_norm, d);
  for (const auto& layer : spec.layers) {
    check.vector(layer.attn_norm, d);
    check.tensor(layer.q, q, d, Use::kTernary);
    check.tensor(layer.k, kv, d, Use::kTernary);
    check.tensor(layer.v, kv, d, Use::kTernary);
    check.vector(layer.q_norm, spec.head_dim);
    check.vector(layer.k_norm, spec.head_dim);
    check.vector(layer.attn_sub_norm, q);
    check.tensor(layer.attn_output, d, q, Use::kTernary);
    check.vector(layer.attn_post_norm, d);
    check.vector(layer.ffn_norm, d);
    check.tensor(layer.gate, f, d, Use::kTernary);
    check.tensor(layer.up, f, d, Use::kTernary);
    check.vector(layer.ffn_sub_norm, f);
    check.tensor(layer.down, d, f, Use::kTernary);
    check.vector(layer.ffn_post_norm, d);
    for (const auto* t : {&layer.q, &layer.k}) {
      require(!t->unpermute_heads || (t->rows % t->unpermute_heads == 0 && t->rows / t->unpermute_heads % 2 == 0),
              kModelFormat, "Tensor \"" + t->name + "\" cannot be un-permuted by head.");
    }
  }
}

}  // namespace bitnet
