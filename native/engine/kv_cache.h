// The paged KV cache: a pool of blocks of 32 positions with reference counts, and the sequences that use them.
//
// Block tables and counts belong to the JavaScript thread; the engine thread sees snapshots (Run::blocks) whose blocks
// are held by the job until it ends. So there are no locks here.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "aligned_buffer.h"
#include "engine/model_spec.h"
#include "kernels/float_ops.h"

namespace bitnet {

using BlockId = uint32_t;

class KvCache {
 public:
  KvCache(const ModelSpec& spec, KvType type, size_t blocks);

  KvType type() const { return type_; }
  size_t bytes() const { return memory_.bytes(); }
  size_t total_blocks() const { return counts_.size(); }
  size_t free_blocks() const { return free_.size(); }

  BlockId allocate();            // throws Error(kKvFull)
  void hold(BlockId block) { counts_[block]++; }
  bool shared(BlockId block) const { return counts_[block] > 1; }
  void release(BlockId block);

  // Keys or values of one layer and KV head in a block: a plane, as float_ops.h has it.
  uint8_t* keys(BlockId block, size_t layer, size_t head) { return at(block, layer * 2, head); }
  uint8_t* values(BlockId block, size_t layer, size_t head) { return at(block, layer * 2 + 1, head); }
  size_t head_stride() const { return head_stride_; }
  // All planes of a block, layer after layer: for saving and restoring.
  size_t block_bytes() const { return block_bytes_; }
  uint8_t* block(BlockId block) { return at(block, 0, 0); }
  void copy(BlockId from, BlockId to);

 private:
  uint8_t* at(BlockId block, size_t plane, size_t head) {
    return memory_.data() + block * block_bytes_ + (plane * heads_ + head) * plane_bytes_;
  }

  KvType type_;
  size_t heads_, head_stride_, plane_bytes_, block_bytes_;
  // Starts as zeros: whole blocks are turned into floats, places among them that nothing was stored in yet, whose scores
  // are left out.
  AlignedBuffer<uint8_t> memory_;
  std::vector<uint32_t> counts_;
  std::vector<BlockId> free_;
};

struct Sequence {
  size_t length = 0;
  std::vector<BlockId> blocks;  // ceil(length / 32)
  size_t in_flight = 0;         // forwards that use it
};

}  // namespace bitnet
