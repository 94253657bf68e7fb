// What this CPU can do, found at run time by features, never by model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitnet {

// One bit per feature. x86 bits include that the operating system saves the registers (XCR0).
enum CpuFeature : uint32_t {
  kAvx2 = 1u << 0,
  kFma = 1u << 1,
  kF16c = 1u << 2,
  kAvxVnni = 1u << 3,
  kAvx512f = 1u << 4,
  kAvx512bw = 1u << 5,
  kAvx512dq = 1u << 6,
  kAvx512vl = 1u << 7,
  kAvx512vnni = 1u << 8,
  kAvx512vbmi = 1u << 9,
  kGfni = 1u << 10,
  kAmxInt8 = 1u << 11,  // and the system granted the tile registers
  kNeon = 1u << 16,
  kDotprod = 1u << 17,
  kI8mm = 1u << 18,
  kFp16Arith = 1u << 19,
};
using CpuFeatures = uint32_t;

constexpr CpuFeatures kAvx2Level = kAvx2 | kFma | kF16c;
constexpr CpuFeatures kAvx512Level = kAvx2Level | kAvx512f | kAvx512bw | kAvx512dq | kAvx512vl | kAvx512vnni | kAvx512vbmi;
constexpr CpuFeatures kAmxLevel = kAvx512Level | kAmxInt8;

// Detected once.
CpuFeatures cpu_features();

// Names of the bits set, for example {"avx2", "fma"}.
std::vector<std::string> feature_names(CpuFeatures features);

// Brand string ("unknown" where the system tells nothing).
std::string cpu_model();

// "x64" or "arm64".
const char* cpu_arch();

// CPUs this process may use: affinity mask and cgroup quota (rounded up), at least 1.
unsigned usable_cpus();

// Distinct physical cores among the usable CPUs; usable_cpus() where unknown.
unsigned physical_cores();

}  // namespace bitnet
