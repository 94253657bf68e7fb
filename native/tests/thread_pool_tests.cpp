// Loops of changing length, so that a worker that wakes late meets another loop than the one it was woken for.
#include "engine/thread_pool.h"

#include <atomic>
#include <vector>

#include "tests/tests.h"

void test_thread_pool(bool quick, TestResult& result) {
  for (unsigned threads : {1u, 2u, 4u}) {
    bitnet::ThreadPool pool(threads);
    bool each_once = true;
    for (int loop = 0; loop < (quick ? 2000 : 100000); loop++) {
      const size_t chunks = static_cast<size_t>(loop * 7919 % 61);
      std::vector<std::atomic<int>> seen(64);
      pool.parallel(chunks, [&](size_t chunk, unsigned thread) { seen[chunk < 64 && thread < threads ? chunk : 63]++; });
      for (size_t i = 0; i < 64; i++) each_once &= seen[i] == (i < chunks ? 1 : 0);
    }
    result.check(each_once, "thread pool of " + std::to_string(threads) + ": every chunk once, and no other");
  }
}
