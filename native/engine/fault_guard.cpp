#include "engine/fault_guard.h"

#include <cstdint>
#include <mutex>
#include <utility>

#if !defined(_WIN32)
#include <csignal>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#endif

namespace bitnet {

FaultGuard& FaultGuard::operator=(FaultGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

#if defined(_WIN32)

FaultGuard::FaultGuard(const void*, size_t) {}
FaultGuard::FaultGuard(FaultGuard&&) noexcept {}
FaultGuard::~FaultGuard() = default;
bool FaultGuard::lost() const { return false; }

#else

namespace {

// A signal handler may take no lock, so the ranges stand in a table of fixed size; more mappings than this go unguarded.
struct Range {
  std::atomic<uintptr_t> begin{0}, end{0};  // end 0: free
  std::atomic<bool> lost{false};
};
constexpr int kSlots = 1024;
Range ranges[kSlots];
std::atomic<int> used_slots{0};  // slots from here on were never used

std::mutex slots_mutex;  // for guarding and letting go, never in the handler
struct sigaction previous;
bool installed = false;

// In place of a page whose bytes are gone. What others read there in the same moment is not used: `lost` says so.
bool put_zeros(void* at, size_t bytes) {
  constexpr int kProtection = PROT_READ, kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
#if defined(__SANITIZE_THREAD__) && defined(__linux__)
  // ThreadSanitizer takes its own mmap for a write to the whole page.
  return syscall(SYS_mmap, at, bytes, kProtection, kFlags, -1, 0) != -1;
#else
  return mmap(at, bytes, kProtection, kFlags, -1, 0) != MAP_FAILED;
#endif
}

void handle(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  const int count = used_slots.load(std::memory_order_acquire);
  for (int i = 0; i < count; i++) {
    Range& range = ranges[i];
    if (address < range.begin.load(std::memory_order_acquire) || address >= range.end.load(std::memory_order_acquire)) continue;
    const auto page = static_cast<uintptr_t>(getpagesize());
    // First: another thread that reads the zeros in the same moment must find it set when it comes to look.
    range.lost.store(true, std::memory_order_release);
    if (!put_zeros(reinterpret_cast<void*>(address / page * page), page)) break;
    return;
  }
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // The access is tried again and ends the process, as it would have.
    std::signal(signal, SIG_DFL);
  }
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  installed = sigaction(SIGBUS, &action, &previous) == 0;
}

}  // namespace

FaultGuard::FaultGuard(const void* data, size_t size) {
  const std::lock_guard<std::mutex> lock(slots_mutex);
  if (!installed) install();
  if (!installed) return;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const auto page = static_cast<uintptr_t>(getpagesize());
  for (int i = 0; i < kSlots; i++) {
    Range& range = ranges[i];
    if (range.end.load(std::memory_order_relaxed)) continue;
    range.lost.store(false, std::memory_order_relaxed);
    range.begin.store(begin, std::memory_order_release);
    range.end.store((begin + size + page - 1) / page * page, std::memory_order_release);
    if (i >= used_slots.load(std::memory_order_relaxed)) used_slots.store(i + 1, std::memory_order_release);
    slot_ = i;
    return;
  }
}

FaultGuard::FaultGuard(FaultGuard&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}

FaultGuard::~FaultGuard() {
  if (slot_ < 0) return;
  const std::lock_guard<std::mutex> lock(slots_mutex);
  ranges[slot_].end.store(0, std::memory_order_release);
}

bool FaultGuard::lost() const { return slot_ >= 0 && ranges[slot_].lost.load(std::memory_order_acquire); }

#endif

}  // namespace bitnet
