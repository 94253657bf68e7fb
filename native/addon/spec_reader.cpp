#include "addon/spec_reader.h"

#include "addon/arguments.h"

namespace bitnet::addon {
namespace {

constexpr uint64_t kLargest = uint64_t{1} << 53;

size_t size(const Napi::Object& o, const char* name) { return as_integer(o.Get(name), name, 0, uint64_t{1} << 40); }

TensorRef tensor(Napi::Value value, const std::string& role) {
  const Napi::Object o = as_object(value, role);
  TensorRef t;
  t.name = as_string(o.Get("name"), role + ".name");
  t.file = as_integer(o.Get("file"), role + ".file", 0, 1 << 20);
  t.offset = as_integer(o.Get("offset"), role + ".offset", 0, kLargest);
  t.byte_length = as_integer(o.Get("byteLength"), role + ".byteLength", 0, kLargest);
  t.format = as_string(o.Get("format"), role + ".format");
  t.rows = as_integer(o.Get("rows"), role + ".rows", 0, uint64_t{1} << 32);
  t.columns = as_integer(o.Get("columns"), role + ".columns", 0, uint64_t{1} << 32);
  if (present(o, "scale")) t.scale = static_cast<float>(as_number(o.Get("scale"), role + ".scale"));
  if (present(o, "unpermuteHeads")) {
    t.unpermute_heads = as_integer(o.Get("unpermuteHeads"), role + ".unpermuteHeads", 1, 65536);
  }
  if (present(o, "gptq")) {
    const Napi::Object g = as_object(o.Get("gptq"), role + ".gptq");
    auto gptq = std::make_shared<GptqRef>();
    gptq->size = as_integer(g.Get("size"), role + ".gptq.size", 1, uint64_t{1} << 32);
    gptq->zero_offset = static_cast<int>(as_integer(g.Get("zeroOffset"), role + ".gptq.zeroOffset", 0, 1));
    gptq->scales = tensor(g.Get("scales"), role + ".gptq.scales");
    gptq->zeros = tensor(g.Get("zeros"), role + ".gptq.zeros");
    if (present(g, "index")) gptq->index = tensor(g.Get("index"), role + ".gptq.index");
    t.gptq = std::move(gptq);
  }
  if (present(o, "add")) t.add = static_cast<float>(as_number(o.Get("add"), role + ".add"));
  return t;
}

std::optional<TensorRef> optional_tensor(const Napi::Object& o, const char* name) {
  if (!present(o, name)) return std::nullopt;
  return tensor(o.Get(name), name);
}

LayerSpec layer(Napi::Value value) {
  const Napi::Object o = as_object(value, "layer");
  LayerSpec l;
  l.attn_norm = tensor(o.Get("attnNorm"), "attnNorm");
  l.q = tensor(o.Get("q"), "q");
  l.k = tensor(o.Get("k"), "k");
  l.v = tensor(o.Get("v"), "v");
  l.q_norm = optional_tensor(o, "qNorm");
  l.k_norm = optional_tensor(o, "kNorm");
  l.attn_sub_norm = optional_tensor(o, "attnSubNorm");
  l.attn_output = tensor(o.Get("attnOutput"), "attnOutput");
  l.attn_post_norm = optional_tensor(o, "attnPostNorm");
  l.ffn_norm = tensor(o.Get("ffnNorm"), "ffnNorm");
  l.gate = tensor(o.Get("gate"), "gate");
  l.up = tensor(o.Get("up"), "up");
  l.ffn_sub_norm = optional_tensor(o, "ffnSubNorm");
  l.down = tensor(o.Get("down"), "down");
  l.ffn_post_norm = optional_tensor(o, "ffnPostNorm");
  l.q_bias = optional_tensor(o, "qBias");
  l.k_bias = optional_tensor(o, "kBias");
  l.v_bias = optional_tensor(o, "vBias");
  l.q_input_norm = optional_tensor(o, "qInputNorm");
  l.k_input_norm = optional_tensor(o, "kInputNorm");
  l.v_input_norm = optional_tensor(o, "vInputNorm");
  l.gate_input_norm = optional_tensor(o, "gateInputNorm");
  l.up_input_norm = optional_tensor(o, "upInputNorm");
  l.local = present(o, "local") && o.Get("local").ToBoolean().Value();
  return l;
}

RopeSpec rope(Napi::Value value, const std::string& role) {
  const Napi::Object o = as_object(value, role);
  RopeSpec r;
  r.theta = as_number(o.Get("theta"), role + ".theta");
  r.dimensions = as_integer(o.Get("dimensions"), role + ".dimensions", 0, uint64_t{1} << 40);
  r.position_scale = as_number(o.Get("positionScale"), role + ".positionScale");
  if (present(o, "magnitude")) r.magnitude = as_number(o.Get("magnitude"), role + ".magnitude");
  if (present(o, "factors")) {
    if (!o.Get("factors").IsArray()) wrong(role + ".factors", "an array of numbers");
    const auto factors = o.Get("factors").As<Napi::Array>();
    if (factors.Length() > 4096) wrong(role + ".factors", "an array of at most 4096 numbers");
    for (uint32_t i = 0; i < factors.Length(); i++) r.factors.push_back(as_number(factors.Get(i), role + ".factors"));
  }
  return r;
}

Activation activation(const std::string& name) {
  if (name == "relu2") return Activation::kRelu2;
  if (name == "silu") return Activation::kSilu;
  if (name == "gelu") return Activation::kGelu;
  throw Error(kUnsupportedModel, "The activation \"" + name + "\" is not supported (relu2, silu and gelu are).");
}

}  // namespace

ModelSpec read_model_spec(Napi::Value value) {
  const Napi::Object o = as_object(value, "The model specification");
  ModelSpec s;
  if (!o.Get("files").IsArray()) wrong("files", "an array of paths");
  const auto files = o.Get("files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); i++) s.files.push_back(as_string(files.Get(i), "files"));
  s.architecture = as_string(o.Get("architecture"), "architecture");
  s.vocabulary_size = size(o, "vocabularySize");
  s.context_length = size(o, "contextLength");
  s.embedding_length = size(o, "embeddingLength");
  s.layer_count = size(o, "layerCount");
  s.head_count = size(o, "headCount");
  s.head_count_kv = size(o, "headCountKv");
  s.head_dim = size(o, "headDim");
  s.ffn_length = size(o, "ffnLength");
  s.rms_norm_epsilon = static_cast<float>(as_number(o.Get("rmsNormEpsilon"), "rmsNormEpsilon"));
  s.activation = activation(as_string(o.Get("activation"), "activation"));
  s.rope = rope(o.Get("rope"), "rope");
  if (present(o, "localRope")) s.local_rope = rope(o.Get("localRope"), "localRope");
  if (present(o, "slidingWindow")) s.sliding_window = size(o, "slidingWindow");
  s.embedding_scale = static_cast<float>(as_number(o.Get("embeddingScale"), "embeddingScale"));
  s.token_embedding = tensor(o.Get("tokenEmbedding"), "tokenEmbedding");
  s.output_norm = tensor(o.Get("outputNorm"), "outputNorm");
  s.output = optional_tensor(o, "output");
  if (!o.Get("layers").IsArray()) wrong("layers", "an array");
  const auto layers = o.Get("layers").As<Napi::Array>();
  if (layers.Length() > 1024) wrong("layers", "an array of at most 1024 layers");
  for (uint32_t i = 0; i < layers.Length(); i++) s.layers.push_back(layer(layers.Get(i)));
  return s;
}

}  // namespace bitnet::addon
