// The exactness check of a kernel: one function, used at start-up and by the native tests.
#pragma once

#include <string>

#include "aligned_buffer.h"
#include "kernels/kernel.h"

namespace bitnet {

// kAllThree: the fourth level, for kernels with four_levels.
enum class CodeFill { kRandom, kAllMinus, kAllPlus, kAllThree };
// kOutliers: small values and a few large ones, as real activations are; kByteEdge: all -32, so that four of them just fit
// a signed byte. They matter to families whose work depends on the size of sums.
enum class ActivationFill { kRandom, kAllMax, kAllMin, kOutliers, kByteEdge };

struct KernelCase {
  size_t rows, columns, tokens;
  CodeFill codes;
  ActivationFill activations;
};

// Packs, multiplies and compares with sums taken from the codes directly. Returns "" or the first difference.
std::string compare_with_scalar(const TernaryKernel& kernel, const KernelCase& c);

}  // namespace bitnet
