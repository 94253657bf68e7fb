// Products with matrices stored by input, against sums taken from the codes: shapes x densities and batches x extremes.
#include <cstdio>
#include <utility>

#include "kernels/column_kernel.h"
#include "tests/tests.h"

using namespace bitnet;

void test_columns(bool quick, TestResult& result) {
  std::vector<const ColumnKernel*> kernels = {&kScalarColumns};
#if defined(BITNET_HAVE_AVX2)
  kernels.push_back(&kAvx2Columns);
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
  kernels.push_back(&kAvxVnniColumns);
#endif
#if defined(BITNET_HAVE_AVX512)
  kernels.push_back(&kAvx512Columns);
#endif
#if defined(BITNET_HAVE_AMX)
  kernels.push_back(&kAmxColumns);
#endif
  for (const auto* kernel : kernels) {
    if (kernel->required & ~cpu_features()) {
      result.skipped++;
      std::printf("skip %s: the CPU lacks features it needs\n", kernel->name);
      continue;
    }
    const int before = result.failed;
    for (size_t rows : {1u, 100u, 256u, 257u, 640u, quick ? 700u : 5000u}) {
      for (size_t columns : {1u, 7u, 64u, 333u, quick ? 400u : 6912u}) {
        for (unsigned percent : {0u, 3u, 15u, 50u, 100u}) {
          for (int extreme : {0, 127, -128}) {
            const auto difference = compare_columns(*kernel, rows, columns, 1, percent, extreme);
            result.check(difference.empty(), difference);
          }
        }
      }
    }
    // Several tokens pass the columns in spans, each shorter the more rows there are.
    for (const auto& [rows, columns] : {std::pair<size_t, size_t>{1, 3}, {700, 5000}, {5200, 600}}) {
      for (size_t tokens : {size_t{2}, size_t{3}, kMostLiveTokens}) {
        for (int extreme : {0, 127, -128}) {
          const size_t fewer = quick && tokens > 3 ? columns / 8 + 1 : columns;
          const auto difference = compare_columns(*kernel, rows, fewer, tokens, 10, extreme);
          result.check(difference.empty(), difference);
        }
      }
    }
    for (size_t rows : {1u, 64u, 319u, 321u, quick ? 500u : 1300u}) {
      for (size_t columns : {1u, 63u, 641u, quick ? 700u : 2600u}) {
        for (size_t tokens : {1u, 2u, 5u, 7u, 11u, 16u, 17u, 33u}) {
          for (int extreme : {0, 127, -128}) {
            const auto difference = compare_column_batch(*kernel, rows, columns, tokens, extreme);
            result.check(difference.empty(), difference);
          }
        }
      }
    }
    std::printf("%s %s\n", result.failed == before ? "ok  " : "FAIL", kernel->name);
  }
}
