// Products with matrices stored by input, against sums taken from the codes: shapes x densities and batches x extremes.
#include <utility>

#include "kernels/column_kernel.h"
#include "tests/tests.h"

using namespace bitnet;

void test_columns(Scope scope, TestResult& result) {
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
  using Sizes = std::vector<size_t>;
  const bool full = scope == Scope::kFull, smoke = scope == Scope::kSmoke;
  for (auto& [kernel, section] : kernel_sections(kernels, result)) {
    section.run([&, kernel = kernel] {
      for (int extreme : {0, 127, -128}) {
        auto check = [&](const std::string& difference) { result.check(difference.empty(), difference); };
        for (size_t rows : smoke ? Sizes{257, 640} : Sizes{1, 100, 256, 257, 640, full ? 5000u : 700u}) {
          for (size_t columns : smoke ? Sizes{333} : Sizes{1, 7, 64, 333, full ? 6912u : 400u}) {
            for (unsigned percent : {0u, 3u, 15u, 50u, 100u}) check(compare_columns(*kernel, rows, columns, 1, percent, extreme));
          }
        }
        // Several tokens pass the columns in spans, each shorter the more rows there are.
        for (const auto& [rows, columns] : {std::pair<size_t, size_t>{1, 3}, {700, 5000}, {5200, 600}}) {
          for (size_t tokens : {size_t{2}, size_t{3}, kMostLiveTokens}) {
            const size_t fewer = smoke || (!full && tokens > 3) ? columns / 8 + 1 : columns;
            check(compare_columns(*kernel, rows, fewer, tokens, 10, extreme));
          }
        }
        for (size_t rows : smoke ? Sizes{321} : Sizes{1, 64, 319, 321, full ? 1300u : 500u}) {
          for (size_t columns : smoke ? Sizes{63} : Sizes{1, 63, 641, full ? 2600u : 700u}) {
            for (size_t tokens : Sizes{1, 2, 5, 7, 11, 16, 17, 33}) check(compare_column_batch(*kernel, rows, columns, tokens, extreme));
          }
        }
      }
    });
    section.report();
  }
}
