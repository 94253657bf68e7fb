#include "engine/model_spec.h"

#include <algorithm>
#include <cmath>

#include "engine/exact_math.h"
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

enum class Use { kLinear, kDense, kVector };

struct Checker {
  const ModelSpec& spec;
  const std::vector<uint64_t>& file_sizes;

  void tensor(const TensorRef& t, size_t rows, size_t columns, Use use) const {
    const std::string name = "Tensor \"" + t.name + "\"";
    require(t.rows == rows && t.columns == columns, kModelFormat,
            name + " is " + std::to_string(t.rows) + " x " + std::to_string(t.columns) + ", the model's dimensions ask for " +
                std::to_string(rows) + " x " + std::to_string(columns) + ".");
    const Format& format = find_format(t.format, t.name);
    const bool linear = format.unpack_codes || format.quantize_codes || format.groups || format.gptq_bits;
    require(use == Use::kLinear ? linear : format.dense_type != kNoDense, kUnsupportedModel,
            name + " is stored as " + t.format + ", which cannot serve as a " +
                (use == Use::kLinear ? "linear layer's matrix" : "dense tensor") + ".");
    const size_t bytes = format.bytes(rows, columns);
    require(bytes != 0 || !format.tiled, kUnsupportedModel,
            name + " is stored as " + t.format + ", whose tile sizes are not in the file, and they are not known for a matrix of " +
                std::to_string(rows) + " x " + std::to_string(columns) +
                ". Use an I2_S file of the model, or convert the original with \"node-bitnet convert\".");
    require(bytes != 0, kModelFormat, name + ": " + t.format + " cannot hold " + std::to_string(columns) + " columns.");
    require(bytes == t.byte_length, kModelFormat,
            name + " has " + std::to_string(t.byte_length) + " bytes, its shape and type need " + std::to_string(bytes) + ".");
    require(t.file < file_sizes.size(), kModelFormat, name + " names a file that is not part of the model.");
    require(std::isfinite(t.add), kModelFormat, name + " has an addend that is not a number.");
    require(t.offset <= file_sizes[t.file] && t.byte_length <= file_sizes[t.file] - t.offset, kModelFormat,
            name + " ends beyond " + spec.files[t.file] + ": the file is truncated. Get it again.");
    if (use == Use::kLinear) {
      const bool own_scale = format.scale || format.row_magnitude || format.groups || format.gptq_bits;
      require(t.scale.has_value() != own_scale, kModelFormat,
              name + (t.scale ? " has two scales." : " has no scale."));
      require(!t.scale || std::isfinite(*t.scale), kModelFormat, name + " has a scale that is not a number.");
      require((t.gptq != nullptr) == (format.gptq_bits != 0), kModelFormat,
              name + " is stored as " + t.format + (t.gptq ? ", which has no" : " without its") + " scales and zeros.");
      if (t.gptq) gptq(*t.gptq, format.gptq_bits, rows, columns);
    }
    const size_t alignment = t.format == "f32" ? 4 : t.format == "f16" || t.format == "bf16" ? 2 : 1;
    require(t.offset % alignment == 0, kModelFormat, name + " is not aligned to its element size.");
  }

  void gptq(const GptqRef& g, int bits, size_t rows, size_t columns) const {
    require(g.size >= 1, kModelFormat, "Tensor \"" + g.scales.name + "\" has groups of no columns.");
    const size_t groups = (columns + g.size - 1) / g.size;
    const std::string& scales = g.scales.format;
    require(scales == "f32" || scales == "f16" || scales == "bf16", kModelFormat,
            "Tensor \"" + g.scales.name + "\" is stored as " + scales + "; scales are f32, f16 or bf16.");
    tensor(g.scales, groups, rows, Use::kDense);
    integers(g.zeros, groups * rows / 8 * static_cast<size_t>(bits));
    if (g.index) integers(*g.index, 4 * columns);
  }

  // int32 tensors that go with GPTQ codes.
  void integers(const TensorRef& t, size_t bytes) const {
    const std::string name = "Tensor \"" + t.name + "\"";
    require(t.format == "i32", kModelFormat, name + " is stored as " + t.format + " instead of int32.");
    require(t.byte_length == bytes, kModelFormat,
            name + " has " + std::to_string(t.byte_length) + " bytes, its matrix needs " + std::to_string(bytes) + ".");
    require(t.file < file_sizes.size(), kModelFormat, name + " names a file that is not part of the model.");
    require(t.offset <= file_sizes[t.file] && t.byte_length <= file_sizes[t.file] - t.offset, kModelFormat,
            name + " ends beyond " + spec.files[t.file] + ": the file is truncated. Get it again.");
  }

  void vector(const TensorRef& t, size_t n) const { tensor(t, 1, n, Use::kVector); }
  void vector(const std::optional<TensorRef>& t, size_t n) const {
    if (t) vector(*t, n);
  }
};

void check_rope(const RopeSpec& rope, const ModelSpec& spec) {
  check_range("The number of rotated dimensions", rope.dimensions, 2, spec.head_dim);
  require(rope.dimensions % 2 == 0, kUnsupportedModel, "The number of rotated dimensions is odd.");
  require(std::isfinite(rope.theta) && rope.theta >= 1, kUnsupportedModel, "The RoPE base must be at least 1.");
  require(std::isfinite(rope.position_scale) && rope.position_scale > 0, kUnsupportedModel,
          "The RoPE position scale must be above 0.");
  require(rope.factors.empty() || rope.factors.size() == rope.dimensions / 2, kModelFormat,
          "The model has " + std::to_string(rope.factors.size()) + " RoPE factors for " +
              std::to_string(rope.dimensions / 2) + " frequencies.");
  require(std::isfinite(rope.magnitude) && rope.magnitude > 0, kUnsupportedModel,
          "RoPE's magnitude must be positive.");
  double least = 1;
  for (const double factor : rope.factors) {
    require(std::isfinite(factor) && factor > 0, kModelFormat, "A RoPE factor is not a positive number.");
    least = std::min(least, factor);
  }
  require(static_cast<double>(spec.context_length) * rope.position_scale / least < kMostAngle, kUnsupportedModel,
          "RoPE's position scale or factors turn the last of " + std::to_string(spec.context_length) +
              " positions by more than 2^30.");
}

// Input norms and biases come for all projections of a block or for none.
void check_together(const char* what, std::initializer_list<const std::optional<TensorRef>*> tensors) {
  size_t present = 0;
  for (const auto* t : tensors) present += t->has_value();
  require(present == 0 || present == tensors.size(), kUnsupportedModel,
          std::string("Only some projections of a layer have ") + what + ".");
}

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
  require(spec.head_count % spec.head_count_kv == 0, kUnsupportedModel,
          "The number of attention heads (" + std::to_string(spec.head_count) + ") is not a multiple of the KV heads (" +
              std::to_string(spec.head_count_kv) + ").");
  check_rope(spec.rope, spec);
  if (spec.local_rope) {
    check_rope(*spec.local_rope, spec);
    require(spec.local_rope->dimensions == spec.rope.dimensions, kUnsupportedModel,
            "Local and global layers rotate different numbers of dimensions.");
  }
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
    check.tensor(layer.q, q, d, Use::kLinear);
    check.tensor(layer.k, kv, d, Use::kLinear);
    check.tensor(layer.v, kv, d, Use::kLinear);
    check.vector(layer.q_norm, spec.head_dim);
    check.vector(layer.k_norm, spec.head_dim);
    check.vector(layer.attn_sub_norm, q);
    check.tensor(layer.attn_output, d, q, Use::kLinear);
    check.vector(layer.attn_post_norm, d);
    check.vector(layer.ffn_norm, d);
    check.tensor(layer.gate, f, d, Use::kLinear);
    check.tensor(layer.up, f, d, Use::kLinear);
    check.vector(layer.ffn_sub_norm, f);
    check.tensor(layer.down, d, f, Use::kLinear);
    check.vector(layer.ffn_post_norm, d);
    check.vector(layer.q_bias, q);
    check.vector(layer.k_bias, kv);
    check.vector(layer.v_bias, kv);
    for (const auto* norm : {&layer.q_input_norm, &layer.k_input_norm, &layer.v_input_norm, &layer.gate_input_norm,
                             &layer.up_input_norm}) {
      check.vector(*norm, d);
    }
    check_together("biases", {&layer.q_bias, &layer.k_bias, &layer.v_bias});
    check_together("a norm on their input", {&layer.q_input_norm, &layer.k_input_norm, &layer.v_input_norm});
    check_together("a norm on their input", {&layer.gate_input_norm, &layer.up_input_norm});
    require(!layer.q_input_norm || (q % kRowTile == 0 && kv % kRowTile == 0), kUnsupportedModel,
            "With norms on the inputs of q, k and v their rows must be multiples of " + std::to_string(kRowTile) + ".");
    require(!layer.q_bias || (!layer.q.unpermute_heads && !layer.k.unpermute_heads), kUnsupportedModel,
            "Biases of permuted q and k rows are not supported.");
    require(!layer.local || spec.sliding_window >= 1, kModelFormat, "A layer is local, but the model has no window.");
    for (const auto* t : {&layer.q, &layer.k}) {
      require(!t->unpermute_heads || (t->rows % t->unpermute_heads == 0 && t->rows / t->unpermute_heads % 2 == 0),
              kModelFormat, "Tensor \"" + t->name + "\" cannot be un-permuted by head.");
    }
  }
}

}  // namespace bitnet
