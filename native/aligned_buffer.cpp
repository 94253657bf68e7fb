#include "aligned_buffer.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace bitnet {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

[[noreturn]] void out_of_memory(size_t bytes) {
  throw Error(kOutOfMemory, "Could not allocate " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                                " MiB. Use a smaller contextLength or model, or free memory.");
}

// BITNET_HUGE_PAGES=0 leaves memory in small pages, for systems where finding huge ones takes long.
bool huge_pages_wanted() {
  static const bool wanted = [] {
    const char* value = std::getenv("BITNET_HUGE_PAGES");  // NOLINT(concurrency-mt-unsafe): read once
    return !value || std::strcmp(value, "0") != 0;
  }();
  return wanted;
}

}  // namespace

void* allocate_pages(size_t bytes) {
#if defined(_WIN32)
  void* p = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (!p) out_of_memory(bytes);
  return p;
#else
  const size_t slack = bytes >= 2 * kHugePage && huge_pages_wanted() ? kHugePage : 0;
  void* raw = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) out_of_memory(bytes);
  if (!slack) return raw;
  // Aligned to a huge page; the ends that stick out are given back.
  auto base = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t start = (base + kHugePage - 1) & ~(kHugePage - 1);
  const size_t page = 4096, head = start - base, tail = slack - head;
  if (head) munmap(raw, head);
  const uintptr_t end = (start + bytes + page - 1) & ~(page - 1);
  if (tail > page) munmap(reinterpret_cast<void*>(end), base + bytes + slack - end);
#if defined(MADV_HUGEPAGE)
  madvise(reinterpret_cast<void*>(start), bytes, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<void*>(start);
#endif
}

void free_pages(void* memory, size_t bytes) noexcept {
#if defined(_WIN32)
  (void)bytes;
  VirtualFree(memory, 0, MEM_RELEASE);
#else
  munmap(memory, bytes);
#endif
}

}  // namespace bitnet
