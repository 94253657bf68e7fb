#include "fuzz/random_spec.h"

#include <functional>
#include <iterator>

#include "formats/format.h"
#include "kernels/kernel.h"

namespace bitnet::fuzz {
namespace {

class Builder {
 public:
  explicit Builder(FuzzedDataProvider& in) : in_(in) {}

  RandomSpec build(bool damaged) {
    ModelSpec& s = out_.spec;
    s.architecture = "fuzz";
    s.vocabulary_size = pick({8, 33, 64, 300});
    s.context_length = pick({1, 33, 128});
    s.head_count_kv = pick({1, 2});
    s.head_count = s.head_count_kv * pick({1, 2, 3});
    s.head_dim = pick({2, 16, 32, 34, 64});
    s.embedding_length = pick({32, 64, 128, 256, 320});
    s.ffn_length = pick({32, 64, 256, 512});
    s.layer_count = pick({1, 2});
    s.rms_norm_epsilon = 1e-5f;
    s.activation = static_cast<Activation>(in_.ConsumeIntegralInRange<int>(0, 2));
    s.rope = rope();
    if (chance()) s.local_rope = s.rope;
    if (chance()) s.sliding_window = pick({1, 7, 64});
    linear_ = pick_format([](const Format& f) { return f.unpack_codes || f.quantize_codes || f.groups || f.gptq_bits; });
    dense_ = pick_format([](const Format& f) { return f.dense_type != kNoDense; });
    vector_ = chance() ? dense_ : &kFormatF32;
    s.token_embedding = tensor(*dense_, s.vocabulary_size, s.embedding_length);
    if (chance()) s.output = tensor(*dense_, s.vocabulary_size, s.embedding_length);
    s.output_norm = vector(s.embedding_length);
    optional_ = in_.ConsumeIntegral<uint8_t>();
    for (size_t i = 0; i < s.layer_count; i++) s.layers.push_back(layer(s));
    for (int i = damaged ? in_.ConsumeIntegralInRange<int>(-2, 3) : 0; i > 0; i--) damage();
    return std::move(out_);
  }

 private:
  bool chance() { return in_.ConsumeIntegralInRange<int>(0, 3) == 0; }
  size_t pick(std::initializer_list<size_t> values) {
    return *std::next(values.begin(), in_.ConsumeIntegralInRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(values.size()) - 1));
  }

  template <class F>
  const Format* pick_format(F&& fits) {
    std::vector<const Format*> found;
    for (const auto* format : all_formats()) {
      if (fits(*format)) found.push_back(format);
    }
    return found[in_.ConsumeIntegralInRange<size_t>(0, found.size() - 1)];
  }

  RopeSpec rope() {
    RopeSpec r;
    r.theta = 10000;
    r.dimensions = out_.spec.head_dim;
    if (chance()) r.factors.assign(r.dimensions / 2, 1.5);
    return r;
  }

  TensorRef place(const std::string& format, size_t rows, size_t columns, size_t bytes) {
    TensorRef t;
    t.name = "t" + std::to_string(count_++);
    t.format = format;
    t.rows = rows;
    t.columns = columns;
    t.offset = out_.file_bytes;
    t.byte_length = bytes;
    // The next tensor is aligned for any element, and the last one ends with the file: a read beyond it is found.
    out_.file_bytes += (bytes + 3) / 4 * 4;
    return t;
  }

  TensorRef tensor(const Format& format, size_t rows, size_t columns) {
    return place(format.name, rows, columns, format.bytes(rows, columns));
  }

  TensorRef vector(size_t n) {
    const Format& format = vector_->bytes(1, n) ? *vector_ : kFormatF32;
    return tensor(format, 1, n);
  }

  TensorRef linear(size_t rows, size_t columns) {
    TensorRef t = tensor(*linear_, rows, columns);
    if (linear_->gptq_bits) {
      auto gptq = std::make_shared<GptqRef>();
      gptq->size = pick({16, 32, 128});
      gptq->zero_offset = in_.ConsumeIntegralInRange<int>(0, 1);
      const size_t groups = (columns + gptq->size - 1) / gptq->size;
      const Format& scales = dense_->bytes(groups, rows) ? *dense_ : kFormatF16;
      gptq->scales = tensor(scales, groups, rows);
      gptq->zeros = place("i32", groups, rows, groups * rows / 8 * static_cast<size_t>(linear_->gptq_bits));
      if (chance()) gptq->index = place("i32", 1, columns, 4 * columns);
      t.gptq = std::move(gptq);
    } else if (!linear_->scale && !linear_->row_magnitude && !linear_->groups) {
      t.scale = 0.25f;
    }
    return t;
  }

  LayerSpec layer(const ModelSpec& s) {
    const size_t d = s.embedding_length, q = s.head_count * s.head_dim, kv = s.head_count_kv * s.head_dim;
    LayerSpec l;
    l.attn_norm = vector(d);
    l.q = linear(q, d);
    l.k = linear(kv, d);
    l.v = linear(kv, d);
    l.attn_output = linear(d, q);
    l.ffn_norm = vector(d);
    l.gate = linear(s.ffn_length, d);
    l.up = linear(s.ffn_length, d);
    l.down = linear(d, s.ffn_length);
    if (optional_ & 1) l.q_norm = l.k_norm = vector(s.head_dim);
    if (optional_ & 2) l.attn_sub_norm = vector(q);
    if (optional_ & 4) l.attn_post_norm = l.ffn_post_norm = vector(d);
    if (optional_ & 8) l.ffn_sub_norm = vector(s.ffn_length);
    if (optional_ & 16) {
      l.q_bias = vector(q);
      l.k_bias = l.v_bias = vector(kv);
    }
    if (optional_ & 32) l.q_input_norm = l.k_input_norm = l.v_input_norm = vector(d);
    if (optional_ & 64) l.gate_input_norm = l.up_input_norm = vector(d);
    l.local = optional_ & 128 && s.sliding_window;
    if (chance()) l.q.unpermute_heads = s.head_count;
    if (chance()) l.k.unpermute_heads = s.head_count_kv;
    return l;
  }

  size_t anything() {
    return chance() ? in_.ConsumeIntegral<uint32_t>() : pick({0, 1, 2, 3, 15, 31, 127, 129, 1u << 16, 1u << 24, size_t{1} << 40});
  }

  void damage() {
    ModelSpec& s = out_.spec;
    size_t* const dimensions[] = {&s.vocabulary_size, &s.context_length, &s.embedding_length, &s.layer_count,
                                  &s.head_count,      &s.head_count_kv,  &s.head_dim,         &s.ffn_length,
                                  &s.sliding_window,  &s.rope.dimensions};
    if (chance()) {
      *in_.PickValueInArray(dimensions) = anything();
      return;
    }
    if (chance()) {
      double* const numbers[] = {&s.rope.theta, &s.rope.position_scale};
      *in_.PickValueInArray(numbers) = in_.ConsumeFloatingPoint<double>();
      return;
    }
    if (s.layers.empty()) return;
    LayerSpec& l = s.layers[in_.ConsumeIntegralInRange<size_t>(0, s.layers.size() - 1)];
    std::vector<TensorRef*> tensors = {&s.token_embedding, &s.output_norm, &l.q, &l.k, &l.v, &l.attn_output, &l.gate, &l.up,
                                       &l.down, &l.attn_norm, &l.ffn_norm};
    for (auto* optional : {&s.output, &l.q_norm, &l.attn_sub_norm, &l.ffn_sub_norm, &l.q_bias, &l.q_input_norm}) {
      if (*optional) tensors.push_back(&**optional);
    }
    std::shared_ptr<GptqRef> gptq;
    if (l.q.gptq) {
      gptq = std::make_shared<GptqRef>(*l.q.gptq);
      l.q.gptq = gptq;
      for (int i = 0; i < 4; i++) {
        tensors.push_back(&gptq->scales);
        tensors.push_back(&gptq->zeros);
      }
    }
    TensorRef& t = *tensors[in_.ConsumeIntegralInRange<size_t>(0, tensors.size() - 1)];
    switch (in_.ConsumeIntegralInRange<int>(0, 9)) {
      case 0: t.offset = anything(); break;
      case 1: t.byte_length = anything(); break;
      case 2: t.rows = anything(); break;
      case 3: t.columns = anything(); break;
      case 4: t.file = anything(); break;
      case 5: t.scale = in_.ConsumeFloatingPoint<float>(); break;
      case 6: t.unpermute_heads = anything(); break;
      case 7: t.add = in_.ConsumeFloatingPoint<float>(); break;
      case 8: if (gptq) gptq->size = anything(); break;
      default:
        t.format = pick_format([](const Format&) { return true; })->name;
        if (const size_t bytes = find_format(t.format, "").bytes(t.rows, t.columns)) t.byte_length = bytes;
    }
  }

  FuzzedDataProvider& in_;
  RandomSpec out_;
  const Format *linear_ = nullptr, *dense_ = nullptr, *vector_ = nullptr;
  unsigned optional_ = 0;
  size_t count_ = 0;
};

}  // namespace

RandomSpec random_spec(FuzzedDataProvider& in, bool damaged) { return Builder(in).build(damaged); }

std::string random_kernel(FuzzedDataProvider& in) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto* kernel : all_kernels()) {
      if (!(kernel->required & ~cpu_features())) out.push_back(kernel->name);
    }
    return out;
  }();
  return names[in.ConsumeIntegral<uint8_t>() % names.size()];
}

}  // namespace bitnet::fuzz
