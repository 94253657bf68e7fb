// How fast this machine reads memory right now: the limit of decoding.
#pragma once

#include <cstddef>

namespace bitnet {

// Bytes per second of `threads` threads streaming over their shares of `bytes`, the best of several rounds.
double read_bandwidth(size_t bytes, unsigned threads);

}  // namespace bitnet
