// Turns a ModelSpec into a Model: map, check, repack in parallel, let go of the source pages.
#pragma once

#include <mutex>

#include "engine/model.h"

namespace bitnet {

class ModelLoader {
 public:
  ModelLoader(ModelSpec spec, const std::string& kernel, LoadControl& control);
  std::shared_ptr<const Model> load();

 private:
  // Rows of a Linear to pack in one go.
  struct Chunk {
    Linear* linear;
    const std::vector<TensorRef>* parts;
    size_t row_begin, row_end;
  };

  void read();
  void prepare();
  // Whether down projections are stored by input, where there is a kernel for it.
  bool stores_by_input() const;
  void scan();
  void describe();
  void forget_plan();
  void measure_scales();
  void find_groups();
  // Of columns, where groups aren't runs of them; all parts must share it.
  std::vector<uint32_t> column_order(const std::vector<TensorRef>& parts) const;
  void plan(Linear& linear, std::vector<TensorRef> parts, bool by_column = false);
  const GroupKernel& group_kernel(const GroupShape& shape, const TensorRef& tensor);
  void pack_chunks(size_t first, size_t last);
  void pack_into_file();
  void make_cache_key();
  // The packed file of this model, its words taken over; null: there is none of use.
  std::unique_ptr<PackedFile> find_packed();
  // Fills the planned matrices and the sketch from it. False where a piece isn't what was stored.
  bool restore(std::unique_ptr<PackedFile> file);
  void plan_sketch();
  void sketch_head();
  // Of which kernels, shapes and sizes the plan consists.
  uint64_t plan_fingerprint() const;
  void in_parallel(size_t count, const std::function<void(size_t)>& work) const;
  void pack(const Chunk& chunk, AlignedBuffer<uint8_t>& codes) const;
  std::vector<float> read_vector(const TensorRef& tensor) const;
  std::vector<float> read_vector(const std::optional<TensorRef>& tensor) const;
  DenseMatrix dense(const TensorRef& tensor) const;
  const uint8_t* bytes_of(const TensorRef& tensor) const;

  LoadControl& control_;
  std::shared_ptr<Model> model_;
  std::vector<std::unique_ptr<std::vector<TensorRef>>> parts_;
  std::vector<Chunk> chunks_;
  uint64_t packed_plan_ = 0;  // the fingerprint in the packed file
  std::atomic<size_t> packed_chunks_{0};
  size_t widest_ = 0;  // most codes in a chunk
  KernelSelection selection_{};
};

}  // namespace bitnet
