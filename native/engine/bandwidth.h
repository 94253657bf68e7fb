// How fast this machine reads memory right now: the limit of decoding.
#pragma once

#include <cstddef>

namespace bitnet {

class ThreadPool;

// Bytes per second of `threads` threads streaming over their shares of `bytes`: the best of several rounds at each of
// several prefetch distances, since the best distance is the machine's and a plain stream falls short of what a kernel
// that prefetches reaches.
double read_bandwidth(size_t bytes, unsigned threads);
double read_bandwidth(size_t bytes, ThreadPool& pool, int rounds);

}  // namespace bitnet
