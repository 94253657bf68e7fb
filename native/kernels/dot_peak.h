// The most int8 multiply-adds a core can do with each instruction set: what a kernel's speed from cache is measured
// against. A loop of nothing but the instruction set's dot product, on registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cpu.h"

namespace bitnet {

struct DotPeak {
  const char* isa;  // as TernaryKernel::isa
  CpuFeatures required;
  // Runs `rounds` rounds; `seed` and the result keep the compiler from computing it beforehand or not at all.
  int32_t (*run)(size_t rounds, int32_t seed);
  size_t macs;  // multiply-adds of a round
};

extern const DotPeak kAvx2DotPeak;
extern const DotPeak kAvxVnniDotPeak;
extern const DotPeak kAvx512VnniDotPeak;
extern const DotPeak kAmxDotPeak;
extern const DotPeak kNeonDotPeak;
extern const DotPeak kNeonDotprodDotPeak;
extern const DotPeak kNeonI8mmDotPeak;

// Those compiled into this binary, best first.
const std::vector<const DotPeak*>& all_dot_peaks();

}  // namespace bitnet
