// The second half of loading: weights into the kernel's layout, from the source or from the packed file.
#include <algorithm>
#include <cstring>

#include "engine/model_loader.h"
#include "engine/weight_cache.h"
#include "engine/weight_reader.h"
#include "error.h"

namespace bitnet {
namespace {

// Puts the columns of `count` rows of codes into the order of use.
void reorder(const std::vector<uint32_t>& order, size_t count, uint8_t* codes) {
  std::vector<uint8_t> row(order.size());
  for (size_t i = 0; i < count; i++, codes += row.size()) {
    for (size_t k = 0; k < row.size(); k++) row[k] = codes[order[k]];
    std::memcpy(codes, row.data(), row.size());
  }
}

}  // namespace

void ModelLoader::make_cache_key() {
  CacheControl& cache = model_->cache_ = control_.cache;
  if (cache.path.empty()) return;
  cache.key += " layout " + layout_fingerprint(*model_->kernel_, *model_->ops_) + " source " +
               std::to_string(source_fingerprint(model_->spec_, model_->files_));
}

uint64_t ModelLoader::plan_fingerprint() const {
  uint64_t sum = 0;
  auto add = [&](const std::string& text) { sum = checksum(text.data(), text.size(), sum); };
  for (const auto& layer : model_->layers_) {
    for (const auto* linear : {&layer.qkv, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      const GroupShape& g = linear->group_shape;
      add(linear->group_kernel ? linear->group_kernel->name + ("/" + std::to_string(g.group)) + "/" + std::to_string(g.bits) +
                                     "/" + std::to_string(g.step) + "/" + std::to_string(g.zero) + "/" +
                                     std::to_string(g.zero_points)
          : linear->column_kernel ? std::string(linear->column_kernel->name)
                                  : std::string(model_->kernel_->name));
    }
  }
  for (const auto* view : model_->weights_.views()) add(std::to_string(view->bytes()));
  return sum;
}

std::unique_ptr<PackedFile> ModelLoader::find_packed() {
  if (model_->cache_.path.empty()) return nullptr;
  auto file = PackedFile::open(model_->cache_.path, model_->cache_.key);
  if (!file || file->count() == 0) return nullptr;
  for (const auto& chunk : file->chunks()) {
    if (chunk.piece == 0 && !file->sound(chunk, file->data(0) + chunk.begin)) return nullptr;
  }
  const ModelSpec described = model_->spec_;
  if (read_cache_words(file->data(0), file->bytes(0), model_->spec_, packed_plan_)) return file;
  model_->spec_ = described;
  return nullptr;
}

bool ModelLoader::restore(std::unique_ptr<PackedFile> file) {
  if (packed_plan_ != model_->plan_) return false;
  const std::vector<WeightView*>& views = model_->weights_.views();
  std::vector<std::vector<float>*> vectors;
  each_sketch_vector(model_->head_sketch_, [&](std::vector<float>& v) { vectors.push_back(&v); });
  if (file->count() != 1 + views.size() + vectors.size()) return false;
  for (size_t i = 0; i < views.size(); i++) {
    if (file->bytes(1 + i) != views[i]->bytes()) return false;
  }
  for (size_t i = 0; i < vectors.size(); i++) {
    if (file->bytes(1 + views.size() + i) != vectors[i]->size() * sizeof(float)) return false;
  }

  const bool stays = control_.cache.mapped;
  if (stays) model_->weights_.allocate(control_.cache.resident_bytes);
  else if (!MappedFile::kReplaceable) model_->weights_.allocate();
  const auto chunks = file->chunks();
  std::atomic<bool> sound{true};
  in_parallel(chunks.size(), [&](size_t i) {
    if (control_.cancelled) throw Error(kAborted, "Loading was aborted.");
    const auto& chunk = chunks[i];
    if (chunk.piece == 0) return;
    const size_t at = chunk.piece - 1;
    uint8_t* copy = at < views.size() ? views[at]->data() : reinterpret_cast<uint8_t*>(vectors[at - views.size()]->data());
    if (copy ? !file->copy(chunk, copy + chunk.begin) : !file->sound(chunk, file->data(chunk.piece) + chunk.begin)) sound = false;
    if (!copy && stays) file->file().release(file->offset(chunk.piece) + chunk.begin, chunk.bytes);
  });
  if (!sound) return false;
  bool mapped = false;
  for (size_t i = 0; i < views.size(); i++) {
    if (views[i]->data()) continue;
    views[i]->map(file->data(1 + i));
    mapped = true;
  }
  if (mapped) {
    model_->packed_ = std::move(file);
    model_->stays_mapped_ = stays;
  }
  model_->from_cache_ = true;
  return true;
}

void ModelLoader::pack(const Chunk& chunk, AlignedBuffer<uint8_t>& codes) const {
  const Linear& linear = *chunk.linear;
  const GroupShape& shape = linear.group_shape;
  const size_t groups = linear.group_kernel ? shape.groups() : 0;
  std::vector<float> scales((chunk.row_end - chunk.row_begin) * groups), row_scales;
  std::vector<uint8_t> zeros(shape.zero_points ? scales.size() : 0), row_zeros;
  size_t part_begin = 0;
  for (const auto& part : *chunk.parts) {
    const size_t begin = std::max(chunk.row_begin, part_begin), end = std::min(chunk.row_end, part_begin + part.rows);
    if (begin < end) {
      const WeightReader reader(part, model_->files_);
      uint8_t* out = codes.data() + (begin - chunk.row_begin) * part.columns;
      reader.codes(begin - part_begin, end - begin, out);
      if (!linear.column_order.empty()) reorder(linear.column_order, end - begin, out);
      if (linear.group_kernel) {
        const GroupShape own = reader.shape();
        const int step = own.step / shape.step, shift = shape.zero_points ? 0 : shape.zero - own.zero;
        if (step != 1 || shift) {
          for (size_t i = 0; i < (end - begin) * part.columns; i++) out[i] = static_cast<uint8_t>(step * out[i] + shift);
        }
        for (size_t row = begin; row < end; row++) {
          reader.scales(row - part_begin, row_scales);
          row_zeros.assign(row_scales.size(), static_cast<uint8_t>(own.zero));
          if (own.zero_points) reader.zeros(row - part_begin, row_zeros);
          for (size_t g = 0; g < groups; g++) {
            const size_t at = (row - chunk.row_begin) * groups + g, from = own.group ? g * shape.group / own.group : 0;
            scales[at] = row_scales[from];
            if (shape.zero_points) zeros[at] = row_zeros[from];
          }
        }
      }
      reader.release(begin - part_begin, end - begin);
    }
    part_begin += part.rows;
  }
  const size_t count = chunk.row_end - chunk.row_begin;
  uint8_t* packed = chunk.linear->packed.data();
  if (linear.group_kernel) {
    linear.group_kernel->pack(shape, codes.data(), scales.data(), zeros.data(), chunk.row_begin, count, packed);
  } else if (linear.column_kernel) {
    linear.column_kernel->pack(codes.data(), chunk.row_begin, count, linear.rows, linear.columns, packed);
  } else {
    model_->kernel_->pack(codes.data(), chunk.row_begin, count, linear.rows, linear.columns, packed);
  }
}

void ModelLoader::pack_chunks(size_t first, size_t last) {
  const size_t report_every = std::max<size_t>(1, chunks_.size() / 50);
  std::vector<AlignedBuffer<uint8_t>> free_buffers;
  std::mutex mutex;
  in_parallel(last - first, [&](size_t i) {
    if (control_.cancelled) throw Error(kAborted, "Loading was aborted.");
    AlignedBuffer<uint8_t> codes;
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (!free_buffers.empty()) {
        codes = std::move(free_buffers.back());
        free_buffers.pop_back();
      }
    }
    if (!codes.size()) codes = AlignedBuffer<uint8_t>(widest_);
    pack(chunks_[first + i], codes);
    {
      std::lock_guard<std::mutex> lock(mutex);
      free_buffers.push_back(std::move(codes));
    }
    const size_t count = packed_chunks_.fetch_add(1) + 1;
    if (control_.on_progress && (count % report_every == 0 || count == chunks_.size())) {
      control_.on_progress(static_cast<double>(count) / static_cast<double>(chunks_.size()));
    }
  });
}

// Packs matrix by matrix into the packed file, without ever holding more than one.
void ModelLoader::pack_into_file() {
  const std::vector<uint64_t> words = cache_words(model_->spec_, model_->plan_);
  std::vector<size_t> sizes = {words.size() * sizeof(uint64_t)};
  for (const auto* view : model_->weights_.views()) sizes.push_back(view->bytes());
  each_sketch_vector(model_->head_sketch_, [&](std::vector<float>& v) { sizes.push_back(v.size() * sizeof(float)); });
  PackedFileWriter writer(model_->cache_.path, model_->cache_.key, sizes);
  writer.write(0, words.data(), control_.cancelled);
  size_t piece = 1;
  // Memory for some views while they are packed, in the order of their pieces.
  auto write_packed = [&](const std::vector<WeightView*>& views, const std::function<void()>& make) {
    std::vector<AlignedBuffer<uint8_t>> buffers;
    for (auto* view : views) {
      buffers.emplace_back(view->bytes());
      view->map(buffers.back().data());
    }
    make();
    for (auto* view : views) {
      writer.write(piece++, view->data(), control_.cancelled);
      view->map(nullptr);
    }
  };
  for (size_t first = 0, last = 0; first < chunks_.size(); first = last) {
    Linear& linear = *chunks_[first].linear;
    while (last < chunks_.size() && chunks_[last].linear == &linear) last++;
    write_packed({&linear.packed}, [&] { pack_chunks(first, last); });
  }
  HeadSketch& sketch = model_->head_sketch_;
  if (sketch) {
    std::vector<WeightView*> views = {&sketch.first.packed};
    if (sketch.second.packed.bytes()) views.push_back(&sketch.second.packed);
    write_packed(views, [&] { sketch_head(); });
    each_sketch_vector(sketch, [&](std::vector<float>& v) { writer.write(piece++, v.data(), control_.cancelled); });
  }
  writer.finish();
  forget_plan();
}

void ModelLoader::sketch_head() {
  const DenseMatrix& w = model_->head_;
  HeadSketch& sketch = model_->head_sketch_;
  if (!sketch) return;
  const size_t rows = w.rows, columns = w.columns;
  // Rows a step, and at a time within it, so that their codes stay in the second cache; one row in 16 tells the columns' errors.
  constexpr size_t kRows = 512, kPacked = 64, kSampled = 16;
  std::vector<SketchPlane*> planes = {&sketch.first};
  if (sketch.second.packed.bytes()) planes.push_back(&sketch.second);
  std::vector<std::vector<double>> column_errors(planes.size(), std::vector<double>(columns));
  std::mutex mutex;
  in_parallel((rows + kRows - 1) / kRows, [&](size_t step) {
    if (control_.cancelled) throw Error(kAborted, "Loading was aborted.");
    const size_t begin = step * kRows, end = std::min(rows, begin + kRows);
    std::vector<uint8_t> codes(planes.size() * kPacked * columns);
    std::vector<std::vector<float>> errors(planes.size(), std::vector<float>(round_up(columns, 16), 0.0f));
    std::vector<float> row(round_up(columns, 16));
    for (size_t first = begin; first < end; first += kPacked) {
      const size_t count = std::min(kPacked, end - first);
      for (size_t r = first; r < first + count; r++) {
        model_->ops_->dense_row(w.type, w.data, columns, r, 1.0f, row.data());
        for (size_t p = 0; p < planes.size(); p++) {
          uint8_t* c = codes.data() + (p * kPacked + r - first) * columns;
          float* column_error = r % kSampled ? nullptr : errors[p].data();
          float* rest = p + 1 < planes.size() ? row.data() : nullptr;  // the next plane's
          planes[p]->scales[r] =
              model_->ops_->sketch_row(row.data(), columns, planes[p]->levels, c, &planes[p]->errors[r], column_error, rest);
        }
      }
      for (size_t p = 0; p < planes.size(); p++) {
        planes[p]->kernel->pack(codes.data() + p * kPacked * columns, first, count, rows, columns, planes[p]->packed.data());
      }
    }
    w.release(begin, end);
    std::lock_guard<std::mutex> lock(mutex);
    for (size_t p = 0; p < planes.size(); p++) {
      for (size_t k = 0; k < columns; k++) column_errors[p][k] += errors[p][k];
    }
  });
  for (size_t p = 0; p < planes.size(); p++) {
    double total = 0;
    for (double e : column_errors[p]) total += e;
    for (size_t k = 0; k < columns && total > 0; k++) {
      planes[p]->column_weights[k] = static_cast<float>(column_errors[p][k] * static_cast<double>(columns) / total);
    }
  }
}

}  // namespace bitnet
