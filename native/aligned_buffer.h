// An owning array aligned to a cache line, or to a huge page where it is large. Contents start undefined unless asked for
// as zeros.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "error.h"

namespace bitnet {

// Raw memory from the system: page-aligned and zero, huge pages asked for from 4 MiB on where the system has them.
void* allocate_pages(size_t bytes);
void free_pages(void* memory, size_t bytes) noexcept;

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t count) : count_(count) {
    if (count > (size_t{1} << 46) / sizeof(T)) throw Error(kOutOfMemory, "A buffer of an impossible size was asked for.");
    if (bytes() >= kPageThreshold) {
      data_ = static_cast<T*>(allocate_pages(bytes()));
    } else if (count) {
      data_ = static_cast<T*>(::operator new(bytes(), std::align_val_t{64}));
    }
  }
  // Zeros, which large buffers get from the system: none of their pages is touched.
  static AlignedBuffer zeroed(size_t count) {
    AlignedBuffer buffer(count);
    if (count && buffer.bytes() < kPageThreshold) std::memset(static_cast<void*>(buffer.data_), 0, buffer.bytes());
    return buffer;
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~AlignedBuffer() {
    if (!data_) return;
    if (bytes() >= kPageThreshold) {
      free_pages(data_, bytes());
    } else {
      ::operator delete(data_, std::align_val_t{64});
    }
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  static constexpr size_t kPageThreshold = 1u << 20;
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace bitnet
