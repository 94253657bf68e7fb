// One allocation for all packed weights of a model, in the order in which a forward pass reads them.
//
// A packed matrix of a 2B model takes 1 to 4 MB, too little for huge pages of its own: with small pages a decoded token
// misses the TLB every 4 KiB, which cost a quarter of decode speed (docs/performance.md). In one region, all of them share
// huge pages, and what is prefetched past the end of a matrix is the beginning of the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned_buffer.h"

namespace bitnet {

// A part of a region: 64-byte aligned, owned by the region.
class WeightView {
 public:
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  friend class WeightRegion;
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

class WeightRegion {
 public:
  // Gives `view` its place behind the views before it; its data is there after allocate(). The view must not move until then.
  void reserve(WeightView& view, size_t bytes) {
    view.bytes_ = bytes;
    planned_.push_back(&view);
  }

  // Called once, when everything is reserved. Throws Error(kOutOfMemory).
  void allocate() {
    size_t total = 0;
    for (const WeightView* view : planned_) total += padded(view->bytes_);
    memory_ = AlignedBuffer<uint8_t>(total);
    size_t offset = 0;
    for (WeightView* view : planned_) {
      view->data_ = memory_.data() + offset;
      offset += padded(view->bytes_);
    }
    planned_.clear();
  }

 private:
  static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

  AlignedBuffer<uint8_t> memory_;
  std::vector<WeightView*> planned_;
};

}  // namespace bitnet
