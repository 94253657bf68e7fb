// Loops of changing length, so that a worker that wakes late meets another loop than the one it was woken for.
#include "engine/thread_pool.h"

#include <atomic>
#include <new>
#include <vector>

#include "tests/tests.h"

void test_thread_pool(Scope scope, TestResult& result) {
  for (unsigned threads : {1u, 2u, 4u}) {
    bitnet::ThreadPool pool(threads);
    bool each_once = true;
    for (int loop = 0; loop < (scope == Scope::kFull ? 100000 : 2000); loop++) {
      const size_t chunks = static_cast<size_t>(loop * 7919 % 61);
      std::vector<std::atomic<int>> seen(64);
      pool.parallel(chunks, [&](size_t chunk, unsigned thread) { seen[chunk < 64 && thread < threads ? chunk : 63]++; });
      for (size_t i = 0; i < 64; i++) each_once &= seen[i] == (i < chunks ? 1 : 0);
    }
    result.check(each_once, "thread pool of " + std::to_string(threads) + ": every chunk once, and no other");
    // An error of any thread's chunk is the caller's, and the pool goes on.
    bool told = true;
    for (size_t loop = 0; loop < 200; loop++) {
      std::atomic<size_t> others{0};
      try {
        pool.parallel(40, [&](size_t chunk, unsigned) {
          if (chunk == loop % 40) throw std::bad_alloc();
          others++;
        });
        told = false;
      } catch (const std::bad_alloc&) {
        told &= threads == 1 || others == 39;
      }
    }
    result.check(told, "thread pool of " + std::to_string(threads) + ": tells what a chunk threw");
  }
}
