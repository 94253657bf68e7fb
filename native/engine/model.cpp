#include "engine/model.h"

#include <algorithm>

#include "engine/model_loader.h"
#include "engine/weight_cache.h"
#include "error.h"

namespace bitnet {

std::shared_ptr<const Model> Model::load(ModelSpec spec, const std::string& kernel, LoadControl& control) {
  return ModelLoader(std::move(spec), kernel, control).load();
}

void Model::require_whole_files(bool with_packed) const {
  for (const auto& file : files_) file.require_whole();
  if (!with_packed) return;
  packed_->file().require_whole();
  if (damaged_.load(std::memory_order_acquire)) fail_changed();
}

void Model::fail_changed() const {
  throw Error(kFileError, "The packed weights at " + cache_.path + " were changed while they were in use. Load the model again.");
}

void Model::take_in(const std::atomic<bool>& cancelled) const {
  const std::lock_guard<std::mutex> lock(taking_in_);
  if (!reads_packed_file() || stays_mapped_ || tried_) return;
  tried_ = true;  // some of the views may be where the first try put them
  std::vector<std::vector<PackedFile::Chunk>> chunks(packed_->count());
  for (const auto& chunk : packed_->chunks()) chunks[chunk.piece].push_back(chunk);
  weights_.take_in([&](size_t view, uint8_t* to) {
    for (const auto& chunk : chunks[1 + view]) {
      if (cancelled) throw Error(kAborted, "Copying the packed weights was stopped.");
      if (!packed_->copy(chunk, to + chunk.begin)) {
        damaged_.store(true, std::memory_order_release);
        fail_changed();
      }
    }
  });
  packed_->file().release(0, packed_->file_bytes());
  taken_in_.store(true, std::memory_order_release);
}

void Model::read_ahead(size_t layer) const {
  if (!stays_mapped_) return;
  const MappedFile& file = packed_->file();
  const auto& l = layers_[layer];
  for (const auto* linear : {&l.qkv, &l.attn_output, &l.gate, &l.up, &l.down}) {
    const uint8_t* data = linear->packed.data();
    if (data >= file.data() && data < file.data() + file.size()) {
      file.will_need(static_cast<uint64_t>(data - file.data()), linear->packed.bytes());
    }
  }
}

size_t Model::packed_bytes() const {
  size_t bytes = 0;
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      bytes += linear->packed.bytes();
    }
  }
  return bytes + head_sketch_.bytes();
}

void Model::write_cache(const std::atomic<bool>& cancelled) const {
  if (cache_.path.empty() || from_cache_) return;
  const std::vector<uint64_t> words = cache_words(spec_, plan_);
  std::vector<std::pair<const void*, size_t>> pieces = {{words.data(), words.size() * sizeof(uint64_t)}};
  for (const auto* view : weights_.views()) pieces.emplace_back(view->data(), view->bytes());
  // Only looked at: the loader, which fills them, shares the order.
  each_sketch_vector(const_cast<HeadSketch&>(head_sketch_),
                     [&](std::vector<float>& v) { pieces.emplace_back(v.data(), v.size() * sizeof(float)); });
  std::vector<size_t> sizes;
  sizes.reserve(pieces.size());
  for (const auto& piece : pieces) sizes.push_back(piece.second);
  PackedFileWriter writer(cache_.path, cache_.key, sizes);
  for (size_t i = 0; i < pieces.size(); i++) writer.write(i, pieces[i].first, cancelled);
  writer.finish();
}

size_t Model::mapped_bytes() const {
  return embedding_.bytes() + (head_.data == embedding_.data ? 0 : head_.bytes());
}

size_t Model::bytes_per_token() const {
  size_t bytes = head_sketch_ ? head_sketch_.first.bytes() : head_.bytes();
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      bytes += linear->packed.bytes();
    }
  }
  return bytes;
}

size_t Model::macs_per_token() const {
  size_t macs = 0;
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      macs += linear->rows * linear->columns;
    }
  }
  return macs;
}

size_t Model::group_scratch_bytes() const {
  size_t bytes = 0;
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      if (linear->group_kernel) bytes = std::max(bytes, linear->group_kernel->scratch_bytes(linear->group_shape));
    }
  }
  return bytes;
}

size_t Model::group_table_bytes() const {
  size_t bytes = 0;
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      bytes = std::max(bytes, linear->group_table_bytes());
    }
  }
  return bytes;
}

std::string Model::kernel_names() const {
  std::vector<std::string> names;
  for (const auto& layer : layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      if (linear->column_kernel) continue;  // of the same level as the others
      const std::string name = linear->group_kernel ? linear->group_kernel->name : kernel_->name;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : " + ") + name;
  return out;
}

}  // namespace bitnet
