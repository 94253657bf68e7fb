#include "engine/model_loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <set>
#include <thread>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "engine/weight_reader.h"
#include "error.h"

namespace bitnet {
namespace {

// Codes unpacked at once: enough to make a chunk worth claiming, few enough to stay in L2 with the packed result.
constexpr size_t kChunkCodes = size_t{512} << 10;

// Of master weights, as transformers' BitNet code clamps it: a matrix of zeros must not divide by zero.
constexpr double kSmallestScale = 1e-5;

// Matrices with the same input share one order of its columns.
void require_same_order(bool same, const TensorRef& tensor) {
  if (same) return;
  throw Error(kUnsupportedModel, "Tensor \"" + tensor.name + "\" orders its columns by activation (g_idx) unlike others of "
                                     "its layer that have the same input. Use a model quantised with desc_act off.");
}


// What loading used and freed goes back to the system: glibc keeps it, tens of megabytes for each thread that allocated.
void give_back_heap() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// Refuses a kernel that differs from scalar on this CPU. One that passed is not tested again by this process.
template <class Kernel>
void require_exact(const Kernel& kernel) {
  static std::mutex mutex;
  static std::set<const Kernel*> exact;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (exact.count(&kernel)) return;
  }
  const std::string difference = self_test(kernel);
  if (!difference.empty()) {
    throw Error(kKernelError, "The start-up self-test failed: " + difference +
                                  ". Choose another kernel with the kernel option and please report this CPU.");
  }
  const std::lock_guard<std::mutex> lock(mutex);
  exact.insert(&kernel);
}

}  // namespace

ModelLoader::ModelLoader(ModelSpec spec, const std::string& kernel, LoadControl& control)
    : control_(control), model_(new Model()) {
  model_->spec_ = std::move(spec);
  selection_ = select_kernels(kernel);
  model_->kernel_ = selection_.ternary;
  require_exact(*model_->kernel_);
  model_->ops_ = &float_ops_for(*model_->kernel_);
}

std::shared_ptr<const Model> ModelLoader::load() {
  try {
    read();
  } catch (...) {
    model_->require_whole_files(false);  // where a page was lost, that is the reason
    throw;
  }
  for (const auto& file : model_->files_) {
    file.require_unchanged();
    file.release(0, file.size());  // around every norm and scale that was read, Linux mapped 64 KiB
  }
  give_back_heap();
  return model_;
}

void ModelLoader::read() {
  const ModelSpec& spec = model_->spec_;
  std::vector<uint64_t> sizes;
  for (const auto& path : spec.files) {
    model_->files_.emplace_back(path);
    sizes.push_back(model_->files_.back().size());
  }
  validate(spec, sizes);
  const ModelSpec described = spec;
  prepare();
  std::unique_ptr<PackedFile> packed = find_packed();
  const bool found = packed != nullptr;
  if (!packed) scan();
  describe();
  if (packed && restore(std::move(packed))) {
    if (control_.on_progress) control_.on_progress(1);
    return;
  }
  if (found) {
    // Damaged: as if there were none.
    model_->spec_ = described;
    forget_plan();
    scan();
    describe();
  }
  if (control_.cache.mapped && !control_.cache.path.empty()) {
    pack_into_file();
    describe();
    packed = find_packed();
    if (packed && restore(std::move(packed))) return;
    throw Error(kFileError, "The packed weights at " + model_->cache_.path + " could not be read back after writing them.");
  }
  model_->weights_.allocate();
  pack_chunks(0, chunks_.size());
  sketch_head();
}

// Milliseconds each, and none needs another: the cache's key, and tests of the kernels that the plan is about to ask for.
void ModelLoader::prepare() {
  const ModelSpec& spec = model_->spec_;
  const TernaryKernel& kernel = *model_->kernel_;
  std::vector<std::function<void()>> works = {[&] { make_cache_key(); }};
  const ColumnKernel* by_column = column_kernel_for(kernel);
  if (by_column && stores_by_input()) works.emplace_back([=] { require_exact(*by_column); });
  const TensorRef& head = spec.output ? *spec.output : spec.token_embedding;
  if (control_.head != HeadMode::kFull && head.byte_length >= kLargeDenseBytes) {
    for (const auto* plane : {four_level_kernel(kernel), list_kernel(kernel)}) {
      if (plane && plane != &kernel) works.emplace_back([=] { require_exact(*plane); });
    }
  }
  in_parallel(works.size(), [&](size_t i) { works[i](); });
}

bool ModelLoader::stores_by_input() const { return control_.sparsity && model_->spec_.activation == Activation::kRelu2; }

// What only the weights themselves tell.
void ModelLoader::scan() {
  measure_scales();
  find_groups();
}

// Reads what is small and plans what is to be packed.
void ModelLoader::describe() {
  const ModelSpec& spec = model_->spec_;
  model_->embedding_ = dense(spec.token_embedding);
  model_->head_ = spec.output ? dense(*spec.output) : model_->embedding_;
  model_->output_norm_ = read_vector(spec.output_norm);
  model_->layers_.resize(spec.layers.size());
  for (size_t i = 0; i < spec.layers.size(); i++) {
    const LayerSpec& in = spec.layers[i];
    Layer& out = model_->layers_[i];
    out.attn_norm = read_vector(in.attn_norm);
    out.q_norm = read_vector(in.q_norm);
    out.k_norm = read_vector(in.k_norm);
    out.attn_sub_norm = read_vector(in.attn_sub_norm);
    out.attn_post_norm = read_vector(in.attn_post_norm);
    out.ffn_norm = read_vector(in.ffn_norm);
    out.ffn_sub_norm = read_vector(in.ffn_sub_norm);
    out.ffn_post_norm = read_vector(in.ffn_post_norm);
    out.q_input_norm = read_vector(in.q_input_norm);
    out.k_input_norm = read_vector(in.k_input_norm);
    out.v_input_norm = read_vector(in.v_input_norm);
    out.gate_input_norm = read_vector(in.gate_input_norm);
    out.up_input_norm = read_vector(in.up_input_norm);
    for (const auto* bias : {&in.q_bias, &in.k_bias, &in.v_bias}) {
      const std::vector<float> values = read_vector(*bias);
      if (*bias) out.qkv_bias.insert(out.qkv_bias.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>((*bias)->columns));
    }
    out.local = in.local;
    plan(out.qkv, {in.q, in.k, in.v});
    plan(out.attn_output, {in.attn_output});
    plan(out.gate, {in.gate});
    plan(out.up, {in.up});
    require_same_order(out.gate.column_order == out.up.column_order, in.up);
    plan(out.down, {in.down}, stores_by_input());
  }
  plan_sketch();
  model_->plan_ = plan_fingerprint();
}

void ModelLoader::forget_plan() {
  model_->weights_ = WeightRegion();
  model_->layers_.clear();
  parts_.clear();
  chunks_.clear();
  widest_ = 0;
  model_->head_sketch_ = HeadSketch();
}

const uint8_t* ModelLoader::bytes_of(const TensorRef& tensor) const {
  return model_->files_[tensor.file].data() + tensor.offset;
}

DenseMatrix ModelLoader::dense(const TensorRef& tensor) const {
  if (tensor.byte_length < kLargeDenseBytes) model_->files_[tensor.file].will_need(tensor.offset, tensor.byte_length);
  const auto type = static_cast<DenseType>(find_format(tensor.format, tensor.name).dense_type);
  return {type, bytes_of(tensor), tensor.rows, tensor.columns, &model_->files_[tensor.file], tensor.offset};
}

std::vector<float> ModelLoader::read_vector(const TensorRef& tensor) const {
  const DenseMatrix m = dense(tensor);
  std::vector<float> out(round_up(m.columns, 16));
  model_->ops_->dense_row(m.type, m.data, m.columns, 0, 1.0f, out.data());
  for (size_t i = 0; i < m.columns && tensor.add != 0; i++) out[i] += tensor.add;
  for (size_t i = 0; i < m.columns; i++) {
    if (!std::isfinite(out[i])) {
      throw Error(kModelFormat, "Tensor \"" + tensor.name + "\" holds a value that is not a finite number at " +
                                    std::to_string(i) + ": the file is damaged. Get it again.");
    }
  }
  return out;
}

std::vector<float> ModelLoader::read_vector(const std::optional<TensorRef>& tensor) const {
  return tensor ? read_vector(*tensor) : std::vector<float>();
}

// Gives master weights their scale: mean |w|, rows added up in rising order, so that it is the same number for any count
// of threads.
void ModelLoader::measure_scales() {
  std::vector<TensorRef*> masters;
  for (auto& layer : model_->spec_.layers) {
    for (auto* t : {&layer.q, &layer.k, &layer.v, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      if (find_format(t->format, t->name).row_magnitude) masters.push_back(t);
    }
  }
  in_parallel(masters.size(), [&](size_t i) {
    TensorRef& t = *masters[i];
    const Format& format = find_format(t.format, t.name);
    double sum = 0;
    for (size_t row = 0; row < t.rows; row++) {
      if (row % 256 == 0 && control_.cancelled) throw Error(kAborted, "Loading was aborted.");
      sum += format.row_magnitude(bytes_of(t), t.columns, row);
    }
    const double mean = sum / (static_cast<double>(t.rows) * static_cast<double>(t.columns));
    if (!std::isfinite(mean)) {
      throw Error(kModelFormat, "Tensor \"" + t.name + "\" holds an infinite weight or one that is no number: the model "
                                                        "is damaged. Get it again.");
    }
    t.scale = static_cast<float>(std::max(mean, kSmallestScale));
  });
}

// Tells ternary matrices with one scale a row from group-scaled ones.
void ModelLoader::find_groups() {
  std::vector<TensorRef*> linears;
  for (auto& layer : model_->spec_.layers) {
    for (auto* t : {&layer.q, &layer.k, &layer.v, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) {
      const Format& format = find_format(t->format, t->name);
      if (format.groups || format.gptq_bits) linears.push_back(t);
    }
  }
  in_parallel(linears.size(), [&](size_t i) {
    if (control_.cancelled) throw Error(kAborted, "Loading was aborted.");
    const WeightReader reader(*linears[i], model_->files_);
    linears[i]->grouped = !reader.find_one_scale();
  });
}

std::vector<uint32_t> ModelLoader::column_order(const std::vector<TensorRef>& parts) const {
  std::vector<uint32_t> order = WeightReader(parts.front(), model_->files_).column_order();
  for (const auto& part : parts) require_same_order(WeightReader(part, model_->files_).column_order() == order, part);
  return order;
}

void ModelLoader::plan(Linear& linear, std::vector<TensorRef> parts, bool by_column) {
  linear.columns = parts.front().columns;
  linear.column_order = column_order(parts);
  linear.prefetch = control_.prefetch;
  bool grouped = false;
  std::vector<GroupShape> shapes;
  for (const auto& part : parts) {
    grouped = grouped || part.grouped;
    linear.rows += part.rows;
    shapes.push_back(WeightReader(part, model_->files_).shape());
  }
  if (grouped) {
    linear.group_shape = common_shape(shapes, linear.rows, linear.columns);
    linear.group_kernel = &group_kernel(linear.group_shape, parts.front());
    model_->weights_.reserve(linear.packed, linear.group_kernel->packed_bytes(linear.group_shape));
  } else {
    for (const auto& part : parts) WeightReader(part, model_->files_).add_row_scales(linear.row_scales);
    linear.row_scales.resize(round_up(linear.rows, kRowTile), 0.0f);
    if (by_column && linear.columns <= kMostColumnInputs) linear.column_kernel = column_kernel_for(*model_->kernel_);
    if (linear.column_kernel) require_exact(*linear.column_kernel);
    model_->weights_.reserve(linear.packed, linear.column_kernel
                                                ? linear.column_kernel->packed_bytes(linear.rows, linear.columns)
                                                : model_->kernel_->packed_bytes(linear.rows, linear.columns));
  }
  const size_t tile = linear.column_kernel ? linear.column_kernel->block_rows() : kRowTile;
  parts_.push_back(std::make_unique<std::vector<TensorRef>>(std::move(parts)));
  const size_t step = std::max(tile, kChunkCodes / linear.columns / tile * tile);
  for (size_t row = 0; row < linear.rows; row += step) {
    chunks_.push_back({&linear, parts_.back().get(), row, std::min(linear.rows, row + step)});
  }
  widest_ = std::max(widest_, step * linear.columns);
}

const GroupKernel& ModelLoader::group_kernel(const GroupShape& shape, const TensorRef& tensor) {
  if (!kScalarGroup.supports(shape)) {
    throw Error(kUnsupportedModel, "Tensor \"" + tensor.name + "\" has a scale for every " + std::to_string(shape.group) +
                                       " columns and " + std::to_string(shape.bits) + " bits a weight; groups of 16 to " +
                                       std::to_string(kMaxGroupColumns) + " columns, in steps of 16, can be computed.");
  }
  const GroupKernel& kernel = group_kernel_for(selection_, shape);
  require_exact(kernel);
  return kernel;
}

// Reserves the head in few bits a weight (head_sketch.h), where it is large enough to be worth it.
void ModelLoader::plan_sketch() {
  const DenseMatrix& w = model_->head_;
  HeadSketch& sketch = model_->head_sketch_;
  const TernaryKernel* kernel = four_level_kernel(*model_->kernel_);
  if (!kernel || control_.head == HeadMode::kFull || (control_.head == HeadMode::kAuto && !w.large())) return;
  sketch.first.kernel = kernel;
  sketch.second.kernel = list_kernel(*model_->kernel_);
  sketch.second.levels = 3;
  sketch.rows = w.rows;
  sketch.columns = w.columns;
  sketch.prefetch = control_.prefetch;
  for (auto* plane : {&sketch.first, &sketch.second}) {
    if (!plane->kernel) break;
    require_exact(*plane->kernel);
    model_->weights_.reserve(plane->packed, plane->kernel->packed_bytes(w.rows, w.columns), true);
    plane->scales.resize(round_up(w.rows, kRowTile));
    plane->errors.resize(round_up(w.rows, kRowTile));
    plane->column_weights.resize(w.columns, 1.0f);
  }
}

// Calls work(0) .. work(count - 1) from `threads` threads; the first error stops the rest and is thrown.
void ModelLoader::in_parallel(size_t count, const std::function<void(size_t)>& work) const {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex mutex;
  auto run = [&] {
    try {
      for (size_t i; !failed && (i = next.fetch_add(1)) < count;) work(i);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  };
  std::vector<std::thread> threads;
  try {
    for (unsigned i = 1; i < control_.threads && i < count; i++) threads.emplace_back(run);
  } catch (const std::exception&) {
    // The system gives no more threads: those that there are do the work.
  }
  run();
  for (auto& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace bitnet
