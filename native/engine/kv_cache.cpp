#include "engine/kv_cache.h"

#include <cstring>

#include "error.h"

namespace bitnet {

KvCache::KvCache(const ModelSpec& spec, KvType type, size_t blocks)
    : type_(type),
      heads_(spec.head_count_kv),
      head_stride_(round_up(spec.head_dim, 16)),
      plane_bytes_(kv_plane_bytes(type, head_stride_)),
      block_bytes_(spec.layer_count * 2 * heads_ * plane_bytes_),
      memory_(AlignedBuffer<uint8_t>::zeroed(blocks * block_bytes_)),
      counts_(blocks, 0) {
  // Popped from the back: low blocks first, so that a short run touches little memory.
  for (size_t i = blocks; i > 0; i--) free_.push_back(static_cast<BlockId>(i - 1));
}

BlockId KvCache::allocate() {
  if (free_.empty()) throw Error(kKvFull, "The KV cache has no free block.");
  const BlockId block = free_.back();
  free_.pop_back();
  counts_[block] = 1;
  return block;
}

void KvCache::release(BlockId block) {
  if (--counts_[block] == 0) free_.push_back(block);
}

void KvCache::copy(BlockId from, BlockId to) { std::memcpy(at(to, 0, 0), at(from, 0, 0), block_bytes_); }

}  // namespace bitnet
