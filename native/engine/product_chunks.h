// How many rows of a product a thread claims at a time.
#pragma once

#include <algorithm>

#include "kernels/column_kernel.h"
#include "kernels/kernel.h"

namespace bitnet {

// Sums of a chunk that are still taken from L2 when they are scaled.
constexpr size_t kChunkSums = 16384;

// `batch_rows`: TernaryKernel::batch_rows. Few tokens want a few chunks per thread: large ones, since kernels prepare the
// activations once per chunk, but enough that an interrupted thread can be helped out. A long batch wants what the kernel
// unpacks at a time, but no fewer chunks than keep all threads busy.
inline size_t product_chunk_rows(size_t batch_rows, size_t rows, size_t tokens, unsigned threads) {
  const size_t all = round_up(rows, kRowTile);
  if (threads == 1 && tokens < 8) return std::min<size_t>(all, 4096);
  const size_t share = std::max<size_t>(round_up(rows / (threads * (tokens < 2 ? 6 : 4)) + 1, 2 * kRowTile), 32);
  if (tokens < 8) return std::min(all, share);
  const size_t most = std::max(batch_rows, kChunkSums / tokens / (2 * kRowTile) * (2 * kRowTile));
  return std::min({all, most, std::max<size_t>(share, 64)});
}

// Blocks of a matrix stored by input that a thread takes for few tokens, which wait for memory: neighbouring ones, since it
// likes long pieces of a column.
inline size_t live_chunk_blocks(size_t blocks, unsigned threads) { return (blocks + threads - 1) / threads; }

// The same as product_chunk_rows for a matrix stored by input. A few tokens want a thread's share, many a whole
// block, which is unpacked once, where each thread then has as much to do as the others, else single fields.
inline size_t column_chunk_rows(const ColumnKernel& kernel, size_t rows, size_t tokens, unsigned threads) {
  const size_t blocks = kernel.blocks(rows);
  if (tokens <= 32 && blocks >= threads) return live_chunk_blocks(blocks, threads) * kernel.block_rows();
  return blocks % threads == 0 || blocks >= size_t{4} * threads ? kernel.block_rows() : kColumnFieldRows;
}

}  // namespace bitnet
