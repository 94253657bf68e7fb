#include "engine/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "aligned_buffer.h"
#include "engine/thread_pool.h"

namespace bitnet {
namespace {

constexpr size_t kWords = size_t{256} << 10;  // 8-byte words of a piece: 2 MiB
constexpr size_t kDistances[] = {0, 128, 256, 512, 1024};  // words ahead; 0: the hardware's own prefetching only

#if defined(__GNUC__)
inline void fetch(const uint64_t* p) { __builtin_prefetch(p); }
#else
inline void fetch(const uint64_t*) {}
#endif

// One word of each line is enough: the whole line travels. Eight sums hide the additions' latency.
uint64_t read_piece(const uint64_t* p, size_t n, size_t ahead) {
  uint64_t s[8] = {};
  if (ahead) {
    for (size_t i = 0; i + 64 <= n; i += 64) {
      for (size_t k = 0; k < 8; k++) {
        fetch(p + i + ahead + 8 * k);
        s[k] += p[i + 8 * k];
      }
    }
  } else {
    for (size_t i = 0; i + 64 <= n; i += 64) {
      for (size_t k = 0; k < 8; k++) s[k] += p[i + 8 * k];
    }
  }
  return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

}  // namespace

double read_bandwidth(size_t bytes, ThreadPool& pool, int rounds) {
  AlignedBuffer<uint64_t> memory(bytes / sizeof(uint64_t));
  const size_t pieces = (memory.size() + kWords - 1) / kWords;
  auto size = [&](size_t piece) { return std::min(kWords, memory.size() - piece * kWords); };
  // Touched, by the threads that read it: otherwise every page is the same zero page.
  pool.parallel(pieces, [&](size_t piece, unsigned) { std::memset(memory.data() + piece * kWords, 1, size(piece) * 8); });
  std::atomic<uint64_t> total{0};
  double best = 0;
  for (int round = 0; round < rounds; round++) {
    for (const size_t ahead : kDistances) {
      const auto start = std::chrono::steady_clock::now();
      pool.parallel(pieces, [&](size_t piece, unsigned) { total += read_piece(memory.data() + piece * kWords, size(piece), ahead); });
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      best = std::max(best, static_cast<double>(memory.bytes()) / elapsed.count());
    }
  }
  return best;
}

double read_bandwidth(size_t bytes, unsigned threads) {
  ThreadPool pool(threads);
  return read_bandwidth(bytes, pool, 5);
}

}  // namespace bitnet
