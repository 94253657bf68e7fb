#include "kernels/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#if defined(__x86_64__) || defined(_M_X64)
#define BITNET_X64 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define BITNET_ARM64 1
#endif

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(BITNET_ARM64)
#include <sys/auxv.h>
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace bitnet {
namespace {

#if defined(BITNET_X64)
void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
  for (int i = 0; i < 4; i++) out[i] = static_cast<uint32_t>(r[i]);
#else
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#endif
}

uint64_t read_xcr0() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

// Linux saves the tile registers (8 KiB) only for processes that ask for it, once, for all their threads; it refuses where
// a thread's alternate signal stack is too small for them. Other systems' ways are not implemented: no AMX there.
bool granted_tiles() {
#if defined(__linux__)
  constexpr long kArchReqXcompPerm = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  uint32_t r[4];
  cpuid(0, 0, r);
  const uint32_t max_leaf = r[0];
  if (max_leaf < 7) return 0;
  cpuid(1, 0, r);
  const uint32_t ecx1 = r[2];
  if (!(ecx1 >> 27 & 1)) return 0;  // OSXSAVE: without it XCR0 can't be read and no wide register may be used
  const uint64_t xcr0 = read_xcr0();
  const bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
  cpuid(7, 0, r);
  const uint32_t max_subleaf = r[0], ebx7 = r[1], ecx7 = r[2], edx7 = r[3];
  uint32_t eax71 = 0;
  if (max_subleaf >= 1) {
    cpuid(7, 1, r);
    eax71 = r[0];
  }
  CpuFeatures f = 0;
  auto set = [&f](bool present, CpuFeature bit) {
    if (present) f |= bit;
  };
  if (ymm) {
    set(ebx7 >> 5 & 1, kAvx2);
    set(ecx1 >> 12 & 1, kFma);
    set(ecx1 >> 29 & 1, kF16c);
    set(eax71 >> 4 & 1, kAvxVnni);
    set(ecx7 >> 8 & 1, kGfni);
  }
  if (zmm) {
    set(ebx7 >> 16 & 1, kAvx512f);
    set(ebx7 >> 17 & 1, kAvx512dq);
    set(ebx7 >> 30 & 1, kAvx512bw);
    set(ebx7 >> 31 & 1, kAvx512vl);
    set(ecx7 >> 1 & 1, kAvx512vbmi);
    set(ecx7 >> 11 & 1, kAvx512vnni);
  }
  const bool tiles = (xcr0 >> 17 & 3) == 3 && (edx7 >> 24 & 1);
  set(tiles && (edx7 >> 25 & 1) && granted_tiles(), kAmxInt8);
  return f;
}
#elif defined(BITNET_ARM64)
CpuFeatures detect() {
  CpuFeatures f = kNeon;  // part of the ARMv8-A baseline
#if defined(__linux__)
  const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  if (hwcap >> 20 & 1) f |= kDotprod;     // HWCAP_ASIMDDP
  if (hwcap >> 10 & 1) f |= kFp16Arith;   // HWCAP_ASIMDHP
  if (hwcap2 >> 13 & 1) f |= kI8mm;       // HWCAP2_I8MM
#elif defined(__APPLE__)
  auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
  };
  if (has("hw.optional.arm.FEAT_DotProd")) f |= kDotprod;
  if (has("hw.optional.arm.FEAT_I8MM")) f |= kI8mm;
  if (has("hw.optional.arm.FEAT_FP16")) f |= kFp16Arith;
#endif
  return f;
}
#else
CpuFeatures detect() { return 0; }
#endif

#if defined(__linux__)
// CPUs granted by the cgroup's quota, rounded up; 0 where there is none. v2 first, then v1.
unsigned cgroup_cpus() {
  std::ifstream max("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (max >> quota >> period && quota != "max" && period > 0) {
    return static_cast<unsigned>(std::ceil(std::max(1.0, std::strtod(quota.c_str(), nullptr) / period)));
  }
  std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double q = 0, p = 0;
  if (quota_v1 >> q && period_v1 >> p && q > 0 && p > 0) return static_cast<unsigned>(std::ceil(std::max(1.0, q / p)));
  return 0;
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; i++) {
      if (CPU_ISSET(i, &set)) cpus.push_back(i);
    }
  }
  return cpus;
}
#endif

}  // namespace

CpuFeatures cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::vector<std::string> feature_names(CpuFeatures features) {
  static const std::pair<CpuFeature, const char*> names[] = {
      {kAvx2, "avx2"},         {kFma, "fma"},           {kF16c, "f16c"},         {kAvxVnni, "avxvnni"},
      {kAvx512f, "avx512f"},   {kAvx512bw, "avx512bw"}, {kAvx512dq, "avx512dq"}, {kAvx512vl, "avx512vl"},
      {kAvx512vnni, "avx512vnni"}, {kAvx512vbmi, "avx512vbmi"}, {kGfni, "gfni"}, {kAmxInt8, "amxint8"}, {kNeon, "neon"},
      {kDotprod, "dotprod"},   {kI8mm, "i8mm"},         {kFp16Arith, "fp16"},
  };
  std::vector<std::string> out;
  for (const auto& [bit, name] : names) {
    if (features & bit) out.emplace_back(name);
  }
  return out;
}

const char* cpu_arch() {
#if defined(BITNET_X64)
  return "x64";
#elif defined(BITNET_ARM64)
  return "arm64";
#else
  return "unknown";
#endif
}

std::string cpu_model() {
#if defined(BITNET_X64)
  uint32_t r[4];
  cpuid(0x80000000u, 0, r);
  if (r[0] < 0x80000004u) return "unknown";
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; i++) {
    cpuid(0x80000002u + i, 0, r);
    std::memcpy(brand + 16 * i, r, 16);
  }
  std::string s(brand);
  const size_t first = s.find_first_not_of(' ');
  return first == std::string::npos ? "unknown" : s.substr(first, s.find_last_not_of(' ') - first + 1);
#elif defined(__APPLE__)
  char brand[128] = {};
  size_t size = sizeof brand - 1;
  return sysctlbyname("machdep.cpu.brand_string", brand, &size, nullptr, 0) == 0 ? brand : "unknown";
#else
  std::ifstream model("/proc/device-tree/model");
  std::string line;
  if (std::getline(model, line, '\0') && !line.empty()) return line;
  return "unknown";
#endif
}

unsigned usable_cpus() {
  unsigned n = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
  const auto allowed = allowed_cpus();
  if (!allowed.empty()) n = static_cast<unsigned>(allowed.size());
  if (const unsigned quota = cgroup_cpus()) n = std::min(n, quota);
#endif
  return n;
}

unsigned physical_cores() {
#if defined(__linux__)
  std::set<std::pair<int, int>> cores;
  for (int cpu : allowed_cpus()) {
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::ifstream core(base + "core_id"), package(base + "physical_package_id");
    int c = 0, p = 0;
    if (!(core >> c) || !(package >> p)) return usable_cpus();
    cores.insert({p, c});
  }
  if (cores.empty()) return usable_cpus();
  return std::min(usable_cpus(), static_cast<unsigned>(cores.size()));
#elif defined(__APPLE__)
  // Performance cores: the slow ones would hold up every barrier.
  int n = 0;
  size_t size = sizeof n;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, nullptr, 0) == 0 && n > 0) return static_cast<unsigned>(n);
  size = sizeof n;
  if (sysctlbyname("hw.physicalcpu", &n, &size, nullptr, 0) == 0 && n > 0) return static_cast<unsigned>(n);
  return usable_cpus();
#else
  return usable_cpus();
#endif
}

}  // namespace bitnet
