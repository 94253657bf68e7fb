// One allocation for all packed weights of a model, in the order in which a forward pass reads them.
//
// A packed matrix of a 2B model takes 1 to 4 MB, too little for huge pages of its own: with small pages a decoded token
// misses the TLB every 4 KiB, which cost a quarter of decode speed (docs/performance.md). In one region, all of them share
// huge pages, and what is prefetched past the end of a matrix is the beginning of the next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "aligned_buffer.h"

namespace bitnet {

// A part of a region: 64-byte aligned, in the region's memory or in a mapped file. Where it is may change, to the same bytes
// elsewhere, while others read it.
class WeightView {
 public:
  WeightView() = default;
  WeightView(const WeightView& other) : data_(other.place()), bytes_(other.bytes_) {}
  WeightView& operator=(const WeightView& other) {
    show(other.place());
    bytes_ = other.bytes_;
    return *this;
  }
  ~WeightView() = default;
  uint8_t* data() { return place(); }
  const uint8_t* data() const { return place(); }
  size_t bytes() const { return bytes_; }
  // Shows memory that is not the region's and outlives the view.
  void map(const uint8_t* data) { show(const_cast<uint8_t*>(data)); }

 private:
  friend class WeightRegion;
  uint8_t* place() const { return data_.load(std::memory_order_acquire); }
  void show(uint8_t* data) { data_.store(data, std::memory_order_release); }

  std::atomic<uint8_t*> data_{nullptr};
  size_t bytes_ = 0;
};

class WeightRegion {
 public:
  // Gives `view` its place behind the views before it; its data is there after allocate(). The view must not move.
  // `hot`: the last to be left out.
  void reserve(WeightView& view, size_t bytes, bool hot = false) {
    view.bytes_ = bytes;
    views_.push_back(&view);
    hot_.push_back(hot);
  }

  // Called once, when everything is reserved. Of more than `most` bytes the views that come last stay without data, to be
  // mapped. Throws Error(kOutOfMemory).
  void allocate(size_t most = SIZE_MAX) {
    std::vector<bool> kept(views_.size());
    size_t total = 0;
    for (const bool hot : {true, false}) {
      for (size_t i = 0; i < views_.size(); i++) {
        const size_t bytes = padded(views_[i]->bytes_);
        if (hot_[i] != hot || bytes > most - total) continue;
        kept[i] = true;
        total += bytes;
      }
    }
    memory_ = AlignedBuffer<uint8_t>(total);
    size_t offset = 0;
    for (size_t i = 0; i < views_.size(); i++) {
      views_[i]->show(kept[i] ? memory_.data() + offset : nullptr);
      if (kept[i]) offset += padded(views_[i]->bytes_);
    }
  }

  // In place of allocate(), for views that all show other memory, which others may be reading: copy(i, to) writes the bytes
  // of view i, which is shown there from then on. What it throws leaves the other views where they are. Throws
  // Error(kOutOfMemory).
  void take_in(const std::function<void(size_t view, uint8_t* to)>& copy) {
    size_t total = 0;
    for (const auto* view : views_) total += padded(view->bytes_);
    memory_ = AlignedBuffer<uint8_t>(total);
    uint8_t* to = memory_.data();
    for (size_t i = 0; i < views_.size(); i++) {
      copy(i, to);
      views_[i]->show(to);
      to += padded(views_[i]->bytes_);
    }
  }

  // In the order in which they were reserved.
  const std::vector<WeightView*>& views() const { return views_; }

 private:
  static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

  AlignedBuffer<uint8_t> memory_;
  std::vector<WeightView*> views_;
  std::vector<bool> hot_;
};

}  // namespace bitnet
