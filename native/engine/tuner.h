// Chooses the kernel and its prefetch distance by timing them on this machine, for a model's own shapes.
//
// Weights are packed once, in one kernel's layout, for decode and prefill alike. So one kernel is chosen for a model: the
// one with the lowest score, where
//
//   score = seconds of the matrices for one decoded token, read from memory
//         + seconds of the matrices for one token of a prompt read in a large batch
//
// that is, for a text of which half is prompt. Kernels within 3 % of the best count as equal; of those the first in the
// registry's order is taken, in which I2_S and multiply-add, the simplest, come first.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "engine/matrix_kernel.h"

namespace bitnet {

struct TuneShape {
  size_t rows, columns;
  size_t count;  // matrices of this shape in the model
  WeightKind kind;  // ternary for all shapes of a request, or for none
};

struct TuneRequest {
  std::vector<TuneShape> shapes;
  unsigned threads = 1;
  // Candidates; empty: the available ones, scalar only where there is no other. A kernel for group scales that cannot
  // multiply one of the shapes leaves it to the multiply-add kernel of its level, as a model's does.
  std::vector<std::string> kernels;
  // Most memory in use at a time, in bytes; about a third of it holds the weights of one kernel.
  size_t memory_bytes = size_t{384} << 20;
  // Time after which no further round is started.
  double seconds = 1.5;
};

struct TuneMeasurement {
  const char* kernel;
  size_t prefetch;        // the best for this kernel
  double decode_seconds;  // all matrices, one token, from memory; 0 where the first look ruled the kernel out
  double prefill_seconds;  // all matrices, per token of a large batch
};

struct TuneResult {
  const char* kernel;
  size_t prefetch;
  std::vector<TuneMeasurement> measurements;
};

// Throws Error(kInvalidArgument, kKernelError, kOutOfMemory), and kAborted once `cancelled` is set.
TuneResult tune(const TuneRequest& request, const std::atomic<bool>& cancelled,
                const std::function<void(double share)>& on_progress);

}  // namespace bitnet
