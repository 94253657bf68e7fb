// The immutable weights of a model: ternary matrices packed for one kernel, dense ones used where the file is mapped.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/head_sketch.h"
#include "engine/mapped_file.h"
#include "engine/model_spec.h"
#include "engine/packed_file.h"
#include "engine/weight_region.h"
#include "formats/format.h"
#include "kernels/column_kernel.h"
#include "kernels/float_ops.h"
#include "kernels/group_kernel.h"
#include "kernels/kernel.h"

namespace bitnet {

// One packed matrix, made of one tensor or of several stacked (q, k and v share their input): ternary with a scale a row,
// multiplied as exact integers, or with scales by group.
struct Linear {
  size_t rows = 0, columns = 0;
  WeightView packed;
  std::vector<float> row_scales;  // one per row: parts may differ in scale
  size_t prefetch = kDefaultPrefetch;
  PackedMatrix matrix() const { return {packed.data(), rows, columns, prefetch, nullptr}; }
  // Where the codes of a row begin, a multiple of kRowTile, in layouts that keep rows in their order.
  const uint8_t* codes(size_t row) const { return packed.data() + packed.bytes() / round_up(rows, kRowTile) * row; }
  const GroupKernel* group_kernel = nullptr;  // null: ternary
  GroupShape group_shape;
  std::vector<uint32_t> column_order;  // the input's column at each place; empty: its own order
  const ColumnKernel* column_kernel = nullptr;  // not null: ternary, stored by input, for products that skip zero inputs
  size_t group_table_bytes() const {
    return group_kernel && group_kernel->table_bytes ? group_kernel->table_bytes(columns) : 0;
  }
  GroupedMatrix grouped() const { return {group_shape, packed.data(), matrix().prefetch}; }
};

// From this size on a dense matrix is worth a sketch (head_sketch.h), and worth keeping out of the resident set.
#if defined(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
constexpr size_t kLargeDenseBytes = size_t{16} << 10;
#else
constexpr size_t kLargeDenseBytes = size_t{32} << 20;
#endif

// A matrix multiplied as floats, in the mapped file.
struct DenseMatrix {
  DenseType type = DenseType::kF32;
  const uint8_t* data = nullptr;
  size_t rows = 0, columns = 0;
  const MappedFile* file = nullptr;
  uint64_t offset = 0;
  size_t row_bytes() const { return dense_row_bytes(type, columns); }
  size_t bytes() const { return rows * row_bytes(); }
  // Whether single rows are copied out of the file, so that the matrix does not become resident by and by.
  bool large() const { return bytes() >= kLargeDenseBytes; }
  void read_row(size_t row, uint8_t* out) const { file->read(offset + row * row_bytes(), row_bytes(), out); }
  // Lets go of the pages of these rows.
  void release(size_t begin, size_t end) const { file->release(offset + begin * row_bytes(), (end - begin) * row_bytes()); }
};

struct Layer {
  std::vector<float> attn_norm, ffn_norm;
  // Empty where the architecture has none.
  std::vector<float> q_norm, k_norm, attn_sub_norm, attn_post_norm, ffn_sub_norm, ffn_post_norm;
  std::vector<float> qkv_bias;  // [rows of qkv]
  std::vector<float> q_input_norm, k_input_norm, v_input_norm, gate_input_norm, up_input_norm;
  bool local = false;
  Linear qkv, attn_output, gate, up, down;
};

// How the candidates are found: through a sketch of the head where it is large (the same candidates), never, or always.
enum class HeadMode { kAuto, kFull, kSketch };

// Where packed weights are kept from one load to the next (packed_file.h).
struct CacheControl {
  std::string path;  // empty: nowhere
  std::string key;   // what the caller knows of the model; the loader adds the layouts and samples of the source
  // Use the weights where the file is mapped, so that the system can drop and read them again, and pack into the file
  // without holding all of them. Otherwise they are used there until take_in() has copied them to memory in huge pages.
  bool mapped = false;
  // Of mapped weights, how many bytes are copied to memory nevertheless: what is read in every token stays, and the rest
  // is read from the file in turn. (Left to itself the system drops exactly what is needed next.)
  size_t resident_bytes = 0;
};

struct LoadControl {
  explicit LoadControl(const std::atomic<bool>& cancelled_flag) : cancelled(cancelled_flag) {}
  const std::atomic<bool>& cancelled;
  unsigned threads = 1;
  size_t prefetch = kDefaultPrefetch;  // bytes ahead, of streaming kernels
  // Squared-ReLU models: store the down projections by input, so that a decoded token skips zero inputs.
  bool sparsity = true;
  HeadMode head = HeadMode::kAuto;
  CacheControl cache;
  std::function<void(double share)> on_progress;  // from any thread
};

class Model {
 public:
  // Maps the files and packs the weights with `control.threads` threads. Throws Error.
  static std::shared_ptr<const Model> load(ModelSpec spec, const std::string& kernel, LoadControl& control);

  const ModelSpec& spec() const { return spec_; }
  const TernaryKernel& kernel() const { return *kernel_; }
  // Names of the kernels that multiply, joined by " + ".
  std::string kernel_names() const;
  const FloatOps& ops() const { return *ops_; }
  const std::vector<Layer>& layers() const { return layers_; }
  const DenseMatrix& embedding() const { return embedding_; }
  const DenseMatrix& head() const { return head_; }
  const HeadSketch& head_sketch() const { return head_sketch_; }
  const std::vector<float>& output_norm() const { return output_norm_; }

  // Starts reading what of a layer's weights is not in memory (CacheControl::mapped); returns at once.
  void read_ahead(size_t layer) const;

  // Whether the weights are read in a mapped packed file at present. They stay in memory of their own once they are there.
  bool reads_packed_file() const { return packed_ && !taken_in_.load(std::memory_order_acquire); }
  // Throws Error(kFileError) where a page of a mapped file was lost: the results since then are worth nothing. Of results
  // that were begun before, `with_packed` is what reads_packed_file() said then.
  void require_whole_files(bool with_packed) const;
  // Copies weights that are used in a mapped file only until they are in memory of their own; passes may go on meanwhile.
  // Throws Error(kFileError) where the file is not what was loaded any more, which ends the passes from then on in the same
  // way, Error(kOutOfMemory), and Error(kAborted) once `cancelled` is set; the weights that are not copied stay mapped,
  // for good: it works once.
  void take_in(const std::atomic<bool>& cancelled) const;

  size_t packed_bytes() const;
  size_t mapped_bytes() const;
  size_t bytes_per_token() const;
  size_t macs_per_token() const;
  // Scratch per thread that the group-scaled products need; 0 without any.
  size_t group_scratch_bytes() const;
  // Bytes of a token's table for their widest input; 0 without look-ups.
  size_t group_table_bytes() const;
  // Whether weights are used where a file is mapped, so that memory is left to those.
  bool maps_weights() const { return stays_mapped_; }
  // Whether the weights came from the packed cache.
  bool from_cache() const { return from_cache_; }
  // Writes the packed cache, where the load had one to write and did not. Throws Error(kFileError), and kAborted once
  // `cancelled` is set.
  void write_cache(const std::atomic<bool>& cancelled) const;

 private:
  friend class ModelLoader;
  Model() = default;
  [[noreturn]] void fail_changed() const;

  ModelSpec spec_;
  std::vector<MappedFile> files_;
  mutable WeightRegion weights_;  // take_in() only changes where the same bytes lie
  const TernaryKernel* kernel_ = nullptr;
  const FloatOps* ops_ = nullptr;
  std::vector<Layer> layers_;
  DenseMatrix embedding_, head_;
  HeadSketch head_sketch_;
  std::vector<float> output_norm_;
  CacheControl cache_;                  // with the whole key
  uint64_t plan_ = 0;                   // fingerprint of what is packed
  std::unique_ptr<PackedFile> packed_;  // what views show, where they are mapped
  bool stays_mapped_ = false;           // memory is short: take_in() does nothing
  mutable std::mutex taking_in_;
  mutable bool tried_ = false;  // to take in; under the mutex
  mutable std::atomic<bool> taken_in_{false};
  mutable std::atomic<bool> damaged_{false};  // the packed file was changed while it was read
  bool from_cache_ = false;
};

}  // namespace bitnet
