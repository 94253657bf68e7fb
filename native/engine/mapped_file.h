// A file mapped read-only into memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/fault_guard.h"

namespace bitnet {

class MappedFile {
 public:
#if defined(_WIN32)
  static constexpr bool kReplaceable = false;  // the system keeps the name of a mapped file from others
#else
  static constexpr bool kReplaceable = true;
#endif

  explicit MappedFile(const std::string& path);  // throws Error(kFileError)
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  // Throws Error(kFileError) where a page could not be read or the file is shorter than it was: what was computed from it
  // is worth nothing then.
  void require_whole() const;
  // Also throws where the file was written to since it was mapped.
  void require_unchanged() const;
  // Hints: this range will be read soon / is not needed any more (its pages leave the resident set).
  void will_need(uint64_t offset, uint64_t length) const;
  void release(uint64_t offset, uint64_t length) const;
  // Copies a range without making its pages resident in this process: reading a mapping leaves 64 KiB behind for every
  // page touched, so scattered rows of a large matrix soon hold all of it. A part that cannot be read becomes zeros, and
  // require_whole() throws. Any thread.
  void read(uint64_t offset, uint64_t length, uint8_t* out) const;

 private:
  bool shorter() const;

  std::string path_;
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  int64_t modified_ = 0;  // nanoseconds; unused where the system refuses to change mapped files
  uint64_t inode_ = 0;
  FaultGuard guard_;  // after the mapping, so that it is let go first
  mutable std::atomic<bool> unreadable_{false};  // read() failed
#if defined(_WIN32)
  void* file_ = nullptr;
  void* mapping_ = nullptr;
#else
  int fd_ = -1;
#endif
};

}  // namespace bitnet
