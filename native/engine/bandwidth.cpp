#include "engine/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "aligned_buffer.h"
#include "engine/thread_pool.h"

namespace bitnet {

double read_bandwidth(size_t bytes, unsigned threads) {
  AlignedBuffer<uint64_t> memory(bytes / sizeof(uint64_t));
  std::memset(memory.data(), 1, memory.bytes());  // touched: otherwise every page is the same zero page
  constexpr size_t kPiece = size_t{256} << 10;    // of 8-byte words: 2 MiB
  const size_t pieces = std::max<size_t>(1, memory.size() / kPiece);
  ThreadPool pool(threads);
  std::atomic<uint64_t> total{0};
  double best = 0;
  for (int round = 0; round < 7; round++) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel(pieces, [&](size_t piece, unsigned) {
      const uint64_t* p = memory.data() + piece * kPiece;
      const size_t n = std::min(kPiece, memory.size() - piece * kPiece);
      // One word of each line is enough: the whole line travels. Eight sums hide the additions' latency.
      uint64_t s[8] = {};
      for (size_t i = 0; i + 64 <= n; i += 64) {
#if defined(__GNUC__)
        for (size_t k = 0; k < 8; k++) __builtin_prefetch(p + i + 1024 + 8 * k);
#endif
        for (size_t k = 0; k < 8; k++) s[k] += p[i + 8 * k];
      }
      total += s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(pieces * kPiece * 8) / elapsed.count());
  }
  return best;
}

}  // namespace bitnet
