// Keeps the process alive when a page of a mapped file cannot be read any more: the file was cut short, or its disk failed.
// The system then sends SIGBUS, which ends the process unless it is handled.
//
// The handler puts a page of zeros in place of the lost one and notes it; whoever reads the mapping looks at `lost()` after
// the work and gives its result up. Faults anywhere else go to the handler that was there before. Windows refuses to
// shorten a mapped file, so nothing is done there.
#pragma once

#include <atomic>
#include <cstddef>

namespace bitnet {

class FaultGuard {
 public:
  FaultGuard() = default;
  // Guards size bytes from data, whole pages, until destroyed.
  FaultGuard(const void* data, size_t size);
  FaultGuard(FaultGuard&& other) noexcept;
  FaultGuard& operator=(FaultGuard&& other) noexcept;
  ~FaultGuard();

  // Whether a page was lost.
  bool lost() const;

 private:
  int slot_ = -1;
};

}  // namespace bitnet
