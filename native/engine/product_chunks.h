// How many rows of a product a thread claims at a time.
#pragma once

#include <algorithm>

#include "kernels/kernel.h"

namespace bitnet {

// `batch_rows`: TernaryKernel::batch_rows. A decoded token wants a few chunks per thread, so that an interrupted one can be
// helped out; a long batch wants what the kernel unpacks at a time, but no fewer chunks than keep all threads busy.
inline size_t product_chunk_rows(size_t batch_rows, size_t rows, size_t tokens, unsigned threads) {
  const size_t all = round_up(rows, kRowTile);
  if (threads == 1 && tokens < 8) return std::min<size_t>(all, 4096);
  const size_t share = std::max<size_t>(round_up(rows / (threads * 6) + 1, 2 * kRowTile), 32);
  return std::min(all, tokens < 8 ? share : std::min(batch_rows, std::max<size_t>(share, 64)));
}

}  // namespace bitnet
