#include "fuzz/plausible.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "formats/format.h"

namespace bitnet::fuzz {
namespace {

class Filler {
 public:
  Filler(std::vector<uint8_t>& file, uint32_t seed) : file_(file), random_(seed) {}

  void optional(const std::optional<TensorRef>& t) {
    if (t) tensor(*t);
  }

  void tensor(const TensorRef& t) {
    if (t.byte_length == 0) return;  // a shape that the format cannot have: loading refuses it
    uint8_t* data = file_.data() + t.offset;
    if (t.gptq) gptq(t, *t.gptq);
    if (t.format.rfind("f32", 0) == 0) return floats<float>(data, t.byte_length, [](float x) { return x; });
    if (t.format.rfind("f16", 0) == 0) return floats<uint16_t>(data, t.byte_length, half);
    if (t.format.rfind("bf16", 0) == 0) return floats<uint16_t>(data, t.byte_length, [](float x) {
      uint32_t bits;
      std::memcpy(&bits, &x, 4);
      return static_cast<uint16_t>(bits >> 16);
    });
    // 0xaa leaves the codes 0 and 2, and small halves as scales; all zeros every format can hold.
    for (const uint8_t mask : {0xaa, 0x00}) {
      for (uint64_t i = 0; i < t.byte_length; i++) data[i] = static_cast<uint8_t>(random_()) & mask;
      if (valid(t, data)) break;
    }
    scale(t, data);
  }

 private:
  static uint16_t half(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return static_cast<uint16_t>((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
  }

  // Of 1/16 to 1, either sign.
  template <class T, class Encode>
  void floats(uint8_t* data, uint64_t bytes, Encode&& encode) {
    for (uint64_t i = 0; i + sizeof(T) <= bytes; i += sizeof(T)) {
      const float magnitude = static_cast<float>(1 + random_() % 15) / 16;
      const T value = encode(random_() % 2 ? magnitude : -magnitude);
      std::memcpy(data + i, &value, sizeof(T));
    }
  }

  static bool valid(const TensorRef& t, const uint8_t* data) {
    const Format& format = find_format(t.format, t.name);
    if (!format.unpack_codes) return true;
    std::vector<uint8_t> codes(t.rows * t.columns);
    return format.unpack_codes(data, t.rows, t.columns, 0, t.rows, codes.data());
  }

  // A scale of the whole tensor, wherever the format keeps it: behind the codes, in their last block.
  static void scale(const TensorRef& t, uint8_t* data) {
    const Format& format = find_format(t.format, t.name);
    if (!format.scale) return;
    const float wanted = 0.3125f;
    for (uint64_t at = t.byte_length; at >= 4 && at + 64 > t.byte_length; at--) {
      uint8_t before[4];
      std::memcpy(before, data + at - 4, 4);
      std::memcpy(data + at - 4, &wanted, 4);
      if (format.scale(data, t.rows, t.columns) == wanted) return;
      std::memcpy(data + at - 4, before, 4);
    }
  }

  void gptq(const TensorRef& t, const GptqRef& g) {
    tensor(g.scales);
    uint8_t* zeros = file_.data() + g.zeros.offset;
    for (uint64_t i = 0; i < g.zeros.byte_length; i++) zeros[i] = static_cast<uint8_t>(random_());
    if (!g.index) return;
    // Whole groups, in any order of columns.
    std::vector<int32_t> index(t.columns);
    for (size_t k = 0; k < t.columns; k++) index[k] = static_cast<int32_t>(k / g.size);
    if (t.columns % g.size == 0) std::shuffle(index.begin(), index.end(), std::mt19937(7));
    std::memcpy(file_.data() + g.index->offset, index.data(), 4 * index.size());
  }

  std::vector<uint8_t>& file_;
  std::mt19937 random_;
};

}  // namespace

std::vector<uint8_t> plausible_contents(const RandomSpec& made, uint32_t seed) {
  std::vector<uint8_t> out(made.file_bytes);
  Filler fill(out, seed);
  const ModelSpec& s = made.spec;
  fill.tensor(s.token_embedding);
  fill.optional(s.output);
  fill.tensor(s.output_norm);
  for (const auto& l : s.layers) {
    for (const auto* t : {&l.attn_norm, &l.q, &l.k, &l.v, &l.attn_output, &l.ffn_norm, &l.gate, &l.up, &l.down}) fill.tensor(*t);
    for (const auto* t : {&l.q_norm, &l.k_norm, &l.attn_sub_norm, &l.attn_post_norm, &l.ffn_sub_norm, &l.ffn_post_norm, &l.q_bias,
                          &l.k_bias, &l.v_bias, &l.q_input_norm, &l.k_input_norm, &l.v_input_norm, &l.gate_input_norm,
                          &l.up_input_norm}) {
      fill.optional(*t);
    }
  }
  return out;
}

}  // namespace bitnet::fuzz
