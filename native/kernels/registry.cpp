#include "kernels/registry.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "kernels/float_ops.h"
#include "kernels/group_kernel.h"

namespace bitnet {
namespace {

// A level is what BITNET_KERNEL or `kernel:` may name instead of a kernel: an instruction set, newest first.
struct Level {
  const char* name;
  std::vector<const char*> isas;  // best first; the last is always the scalar reference
};

const std::vector<Level>& levels() {
  static const std::vector<Level> list = {
      {"amx", {"amx-int8", "avx512-vnni", "avx2", "scalar"}},
      {"avx512", {"avx512-vnni", "avx2", "scalar"}},
      {"avx-vnni", {"avx-vnni", "avx2", "scalar"}},
      {"avx2", {"avx2", "scalar"}},
      {"neon-i8mm", {"neon-i8mm", "neon-dotprod", "neon", "scalar"}},
      {"neon-dotprod", {"neon-dotprod", "neon", "scalar"}},
      {"neon", {"neon", "scalar"}},
      {"scalar", {"scalar"}},
  };
  return list;
}

bool available(const TernaryKernel& kernel) { return (kernel.required & ~cpu_features()) == 0; }

std::string missing_features(CpuFeatures required) {
  std::string out;
  for (const auto& name : feature_names(required & ~cpu_features())) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// The default family when only a level is asked for.
constexpr const char* kDefaultFamily = "i2s";

}  // namespace

const std::vector<const TernaryKernel*>& all_kernels() {
  static const std::vector<const TernaryKernel*> kernels = {
// By instruction set, the best first. A compiler may be too old for some: CMakeLists.txt then leaves their folders out.
#if defined(BITNET_HAVE_AMX)
      &kAmxI2s, &kAmxT5,
#endif
#if defined(BITNET_HAVE_AVX512)
      &kAvx512VnniI2s, &kAvx512VbmiT5, &kAvx512VbmiTl1, &kAvx512VbmiTl2, &kAvx512VbmiTmac2,
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
      &kAvxVnniI2s, &kAvxVnniT5,
#endif
#if defined(BITNET_HAVE_AVX2)
      &kAvx2I2s, &kAvx2T5, &kAvx2Tl1, &kAvx2Tl2, &kAvx2Tmac2,
#endif
#if defined(BITNET_HAVE_NEON_I8MM)
      &kNeonI8mmI2s, &kNeonI8mmT5,
#endif
#if defined(BITNET_HAVE_NEON_DOTPROD)
      &kNeonDotprodI2s, &kNeonDotprodT5,
#endif
#if defined(BITNET_HAVE_NEON)
      &kNeonI2s, &kNeonT5, &kNeonTl1, &kNeonTl2, &kNeonTmac2,
#endif
      &kScalarI2s, &kScalarT5, &kScalarTl1, &kScalarTl2, &kScalarTmac2,
  };
  return kernels;
}

void require_features(const char* kernel, CpuFeatures required) {
  if (!(required & ~cpu_features())) return;
  throw Error(kKernelError, std::string("Kernel \"") + kernel + "\" needs CPU features that this machine lacks: " +
                                missing_features(required) + ". Leave the kernel option out to take the best one.");
}

const TernaryKernel& select_kernel(const std::string& choice) {
  if (choice.empty() || choice == "auto") {
    for (const auto* kernel : all_kernels()) {
      if (!std::strcmp(kernel->family, kDefaultFamily) && available(*kernel)) return *kernel;
    }
  }
  for (const auto* kernel : all_kernels()) {
    if (choice != kernel->name) continue;
    require_features(kernel->name, kernel->required);
    return *kernel;
  }
  for (const auto& level : levels()) {
    if (choice != level.name) continue;
    bool known = false;
    for (const char* isa : level.isas) {
      for (const auto* kernel : all_kernels()) {
        if (std::strcmp(kernel->isa, isa) != 0 || std::strcmp(kernel->family, kDefaultFamily) != 0) continue;
        if (isa == level.isas.front()) {
          known = true;
          if (!available(*kernel)) {
            throw Error(kKernelError, "Kernel level \"" + choice + "\" needs CPU features that this machine lacks: " +
                                          missing_features(kernel->required) +
                                          ". Leave the kernel option out to take the best one.");
          }
        }
        if (known && available(*kernel)) return *kernel;
      }
    }
  }
  std::string names;
  for (const auto* kernel : all_kernels()) names += std::string(names.empty() ? "" : ", ") + kernel->name;
  for (const auto* kernel : all_group_kernels()) names += std::string(", ") + kernel->name;
  throw Error(kKernelError, "Unknown kernel \"" + choice + "\". This binary has: " + names +
                                "; or a level: scalar, avx2, avx-vnni, avx512, amx, neon, neon-dotprod, neon-i8mm.");
}

const TernaryKernel* four_level_kernel(const TernaryKernel& kernel) {
  const TernaryKernel* relative = nullptr;  // the same float operations, another dot product
  for (const auto* other : all_kernels()) {
    if (!other->four_levels || !available(*other)) continue;
    if (!std::strcmp(other->isa, kernel.isa)) return other;
    if (!relative && &float_ops_for(*other) == &float_ops_for(kernel)) relative = other;
  }
  return relative;
}

const TernaryKernel* list_kernel(const TernaryKernel& kernel) {
  const TernaryKernel* best = nullptr;
  size_t fewest = 0;
  for (const auto* other : all_kernels()) {
    if (!other->gemv_rows || !available(*other) || &float_ops_for(*other) != &float_ops_for(kernel)) continue;
    const size_t bytes = other->packed_bytes(kRowTile, kActivationPad);
    if (best && (bytes > fewest || (bytes == fewest && other != &kernel))) continue;
    best = other;
    fewest = bytes;
  }
  return best;
}

}  // namespace bitnet
