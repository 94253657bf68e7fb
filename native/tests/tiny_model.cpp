#include "tests/tiny_model.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "formats/format.h"

namespace bitnet::tests {
namespace {

struct Writer {
  std::mt19937 random;
  std::vector<uint8_t> bytes;
  size_t count = 0;

  TensorRef place(const char* format, size_t rows, size_t columns) {
    TensorRef t;
    t.name = "t" + std::to_string(count++);
    t.format = format;
    t.rows = rows;
    t.columns = columns;
    t.offset = bytes.size();
    t.byte_length = find_format(format, t.name).bytes(rows, columns);
    bytes.resize(bytes.size() + (t.byte_length + 63) / 64 * 64);
    return t;
  }

  TensorRef floats(size_t rows, size_t columns, float middle) {
    TensorRef t = place("f32", rows, columns);
    std::uniform_real_distribution<float> draw(middle - 0.5f, middle + 0.5f);
    for (size_t i = 0; i < rows * columns; i++) {
      const float value = draw(random);
      std::memcpy(bytes.data() + t.offset + 4 * i, &value, 4);
    }
    return t;
  }

  TensorRef ternary(size_t rows, size_t columns) {
    TensorRef t = place("i2_s", rows, columns);
    const size_t codes = rows * columns / 4;
    for (size_t i = 0; i < codes; i++) {
      uint8_t byte = 0;
      for (int k = 0; k < 4; k++) byte = static_cast<uint8_t>(byte * 4u + random() % 3);
      bytes[t.offset + i] = byte;
    }
    const float scale = 0.3f;
    std::memcpy(bytes.data() + t.offset + codes, &scale, 4);
    return t;
  }
};

}  // namespace

TinyModel::TinyModel(unsigned seed, size_t layers) {
  static std::atomic<unsigned> files{0};
  Writer w{std::mt19937(seed), {}};
  spec_.architecture = "tiny";
  spec_.vocabulary_size = 100;
  spec_.context_length = 256;
  spec_.embedding_length = 64;
  spec_.layer_count = layers;
  spec_.head_count = 4;
  spec_.head_count_kv = 2;
  spec_.head_dim = 16;
  spec_.ffn_length = 192;
  spec_.rms_norm_epsilon = 1e-5f;
  spec_.rope = {10000, 16, 1, {}};
  spec_.token_embedding = w.floats(100, 64, 0);
  spec_.output_norm = w.floats(1, 64, 1);
  for (size_t i = 0; i < layers; i++) {
    LayerSpec l;
    l.attn_norm = w.floats(1, 64, 1);
    l.q = w.ternary(64, 64);
    l.k = w.ternary(32, 64);
    l.v = w.ternary(32, 64);
    l.attn_output = w.ternary(64, 64);
    l.ffn_norm = w.floats(1, 64, 1);
    l.gate = w.ternary(192, 64);
    l.up = w.ternary(192, 64);
    l.down = w.ternary(64, 192);
    spec_.layers.push_back(l);
  }
  const std::string name = "node-bitnet-test-" + std::to_string(std::random_device()()) + "-" + std::to_string(files++);
  path_ = (std::filesystem::temp_directory_path() / name).string();
  std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(w.bytes.data()), static_cast<std::streamsize>(w.bytes.size()));
  spec_.files = {path_};
}

TinyModel::~TinyModel() { std::remove(path_.c_str()); }

std::shared_ptr<const Model> TinyModel::load(const std::string& kernel, unsigned threads, const std::atomic<bool>& cancelled) const {
  LoadControl control(cancelled);
  control.threads = threads;
  return Model::load(spec_, kernel, control);
}

std::shared_ptr<const Model> TinyModel::load(const std::string& kernel, unsigned threads) const {
  const std::atomic<bool> cancelled{false};
  return load(kernel, threads, cancelled);
}

}  // namespace bitnet::tests
