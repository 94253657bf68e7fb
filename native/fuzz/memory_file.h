// A file in memory, with a path: what a target gives the engine to map, and cuts or overwrites under its feet.
#pragma once

#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

namespace bitnet::fuzz {

class MemoryFile {
 public:
  // `size` bytes, some of the input's over and over. A mapping of it ends at its last page.
  MemoryFile(FuzzedDataProvider& in, uint64_t size) : fd_(memfd_create("fuzz", 0)) {
    const std::vector<uint8_t> given = in.ConsumeBytes<uint8_t>(in.ConsumeIntegralInRange<size_t>(1, 256));
    std::vector<uint8_t> contents(size);
    for (size_t i = 0; i < size; i++) contents[i] = given.empty() ? 0x11 : given[i % given.size()];
    put(contents, 0);
  }
  explicit MemoryFile(const std::vector<uint8_t>& contents) : fd_(memfd_create("fuzz", 0)) { put(contents, 0); }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void resize(uint64_t size) { REQUIRE(ftruncate(fd_, static_cast<off_t>(size)) == 0); }
  void put(const std::vector<uint8_t>& bytes, uint64_t offset) {
    REQUIRE(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  int fd_;
};

}  // namespace bitnet::fuzz
