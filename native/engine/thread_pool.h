// A persistent team of threads for one context's forward passes.
//
// The calling (engine) thread runs straight-line code and hands out parallel loops; between loops it works alone. A loop's
// chunks are claimed one at a time, each thread starting with its own contiguous share and then helping the others, so a
// thread that the system took off its core delays a loop by one chunk at most, and a thread that never woke by nothing.
// Waiting is a bounded spin, then parking: an idle or oversubscribed process burns no CPU.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace bitnet {

class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads);  // the caller counts as one; throws Error where the system has too few
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const { return threads_; }

  // Weights that a loop after the next one or two will stream, each thread its own part from front to back: a thread that
  // finds no chunk left fetches the first of its part into its L2 instead of idling. Null: none.
  void announce(const uint8_t* data, size_t bytes) {
    for (unsigned i = 1; i < threads_; i++) {
      shares_[i].announced.store(data ? data + bytes / threads_ * i : nullptr, std::memory_order_relaxed);
    }
  }

  // Calls work(chunk, thread) for every chunk in 0..chunks-1 and returns when all are done, or throws the first of what
  // they threw.
  template <class F>
  void parallel(size_t chunks, F&& work) {
    if (threads_ == 1 || chunks <= 1) {
      for (size_t i = 0; i < chunks; i++) work(i, 0u);
      return;
    }
    run(chunks, [](void* f, size_t chunk, unsigned thread) { (*static_cast<std::remove_reference_t<F>*>(f))(chunk, thread); },
        const_cast<void*>(static_cast<const void*>(&work)));
  }

 private:
  using Work = void (*)(void* context, size_t chunk, unsigned thread);

  // What a thread still has to claim of its share. `state` is loop << 32 | claimed, so that a claim by a thread that
  // still believes in an earlier loop fails.
  struct alignas(64) Share {
    std::atomic<uint64_t> state{0};
    std::atomic<const uint8_t*> announced{nullptr};
  };

  void end();
  void keep_error();
  void run(size_t chunks, Work work, void* context);
  void worker(unsigned index);
  // Claims and runs chunks of loop `loop` until there are none; returns how many this thread ran.
  size_t help(uint32_t loop, size_t chunks, Work work, void* context, unsigned thread);
  bool wait_for_loop(uint32_t seen);
  void fetch_announced(unsigned thread, uint32_t seen);

  const unsigned threads_;
  std::unique_ptr<Share[]> shares_;
  // The current loop; written by the engine thread before `loop_` is published. Atomics because a late worker may read
  // them while the next loop is being written; its claims then fail.
  std::atomic<size_t> chunks_{0};
  std::atomic<Work> work_{nullptr};
  std::atomic<void*> context_{nullptr};
  alignas(64) std::atomic<uint32_t> loop_{0};
  alignas(64) std::atomic<size_t> done_{0};
  alignas(64) std::atomic<uint32_t> parked_workers_{0};
  std::atomic<bool> engine_parked_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;  // under mutex_
  std::mutex mutex_;
  std::condition_variable workers_wake_, engine_wake_;
  std::vector<std::thread> workers_;
};

}  // namespace bitnet
