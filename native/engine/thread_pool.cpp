#include "engine/thread_pool.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include <chrono>
#include <string>
#include <utility>

#include "error.h"

namespace bitnet {
namespace {

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

inline void prefetch_l2(const void* p) {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
#elif defined(__GNUC__)
  __builtin_prefetch(p, 0, 2);
#endif
}

using Clock = std::chrono::steady_clock;

// Spins until `ready` or the time is over; true if ready. The clock is read every 64 turns only.
template <class F>
bool spin(F&& ready, std::chrono::microseconds limit) {
  for (int i = 0; i < 64; i++) {
    if (ready()) return true;
    pause();
  }
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < 64; i++) {
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return false;
}

// Longer than the serial stretch between two loops, shorter than what another thread of this machine would miss.
constexpr std::chrono::microseconds kWorkerSpin{40};
constexpr std::chrono::microseconds kEngineSpin{100};

// What an idle thread fetches ahead: what memory gives in about 10 us, the serial stretch between two loops.
constexpr size_t kAnnouncedBytes = 128 << 10;

}  // namespace

ThreadPool::ThreadPool(unsigned threads) : threads_(threads), shares_(new Share[threads]) {
  try {
    for (unsigned i = 1; i < threads_; i++) workers_.emplace_back([this, i] { worker(i); });
  } catch (const std::exception&) {
    const size_t started = workers_.size() + 1;
    end();
    throw Error(kOutOfMemory, "The system started " + std::to_string(started) + " of " + std::to_string(threads) +
                                  " threads. Use fewer threads or raise the limit on processes.");
  }
}

ThreadPool::~ThreadPool() { end(); }

void ThreadPool::end() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
  }
  workers_wake_.notify_all();
  for (auto& thread : workers_) thread.join();
}

size_t ThreadPool::help(uint32_t loop, size_t chunks, Work work, void* context, unsigned thread) {
  size_t ran = 0;
  for (unsigned k = 0; k < threads_; k++) {
    const unsigned owner = (thread + k) % threads_;
    const size_t begin = chunks * owner / threads_, end = chunks * (owner + 1) / threads_;
    auto& state = shares_[owner].state;
    uint64_t seen = state.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(seen >> 32) == loop && begin + static_cast<uint32_t>(seen) < end) {
      if (!state.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      try {
        work(context, begin + static_cast<uint32_t>(seen), thread);
      } catch (...) {
        keep_error();
      }
      ran++;
      seen = state.load(std::memory_order_acquire);
    }
  }
  return ran;
}

void ThreadPool::run(size_t chunks, Work work, void* context) {
  const uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
  // The shares first: a late worker of the last loop that reads the new chunk count must find no share that still bears
  // its loop, or it would take the new count's surplus for unclaimed chunks of the old loop. No worker can claim from the
  // new shares before `loop_` is published.
  for (unsigned i = 0; i < threads_; i++) shares_[i].state.store(static_cast<uint64_t>(loop) << 32, std::memory_order_relaxed);
  chunks_.store(chunks, std::memory_order_release);
  work_.store(work, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  loop_.store(loop, std::memory_order_seq_cst);
  if (parked_workers_.load(std::memory_order_seq_cst)) {
    std::lock_guard<std::mutex> lock(mutex_);
    workers_wake_.notify_all();
  }
  const size_t mine = help(loop, chunks, work, context, 0);
  done_.fetch_add(mine, std::memory_order_acq_rel);
  auto finished = [&] { return done_.load(std::memory_order_acquire) == chunks; };
  if (!spin(finished, kEngineSpin)) {
    std::unique_lock<std::mutex> lock(mutex_);
    engine_parked_.store(true, std::memory_order_seq_cst);
    engine_wake_.wait(lock, [&] { return done_.load(std::memory_order_seq_cst) == chunks; });
    engine_parked_.store(false, std::memory_order_relaxed);
  }
  // Only now: until the last chunk is done, threads use what this call's `context` refers to.
  if (!failed_.load(std::memory_order_relaxed)) return;
  failed_.store(false, std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(mutex_);
  std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::keep_error() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_) error_ = std::current_exception();
  failed_.store(true, std::memory_order_relaxed);  // published with the chunk, by done_
}

void ThreadPool::fetch_announced(unsigned thread, uint32_t seen) {
  const uint8_t* data = shares_[thread].announced.exchange(nullptr, std::memory_order_relaxed);
  if (!data) return;
  for (size_t i = 0; i < kAnnouncedBytes; i += 64) {
    if (i % 512 == 0 && loop_.load(std::memory_order_relaxed) != seen) return;
    prefetch_l2(data + i);
  }
}

bool ThreadPool::wait_for_loop(uint32_t seen) {
  auto published = [&] { return loop_.load(std::memory_order_acquire) != seen || stop_.load(std::memory_order_relaxed); };
  if (!spin(published, kWorkerSpin)) {
    std::unique_lock<std::mutex> lock(mutex_);
    parked_workers_.fetch_add(1, std::memory_order_seq_cst);
    workers_wake_.wait(lock, [&] { return loop_.load(std::memory_order_seq_cst) != seen || stop_.load(); });
    parked_workers_.fetch_sub(1, std::memory_order_relaxed);
  }
  return !stop_.load(std::memory_order_relaxed);
}

void ThreadPool::worker(unsigned index) {
  uint32_t seen = 0;
  while (wait_for_loop(seen)) {
    const uint32_t loop = loop_.load(std::memory_order_acquire);
    seen = loop;
    const size_t chunks = chunks_.load(std::memory_order_acquire);
    const Work work = work_.load(std::memory_order_relaxed);
    void* context = context_.load(std::memory_order_relaxed);
    const size_t ran = help(loop, chunks, work, context, index);
    if (ran) {
      const size_t total = done_.fetch_add(ran, std::memory_order_seq_cst) + ran;
      if (total == chunks && engine_parked_.load(std::memory_order_seq_cst)) {
        std::lock_guard<std::mutex> lock(mutex_);
        engine_wake_.notify_one();
      }
    }
    fetch_announced(index, loop);
  }
}

}  // namespace bitnet
