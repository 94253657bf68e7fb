// avx512-columns: eight live columns at a time.
//
// Four columns' 64-byte blocks are interleaved by unpacking (8 operations), so that every dword holds one row's bytes of
// the four, and decoded (8 operations a register); vpdpbusd then adds four products per lane with the four activations
// broadcast. Per 512 bytes (2,560 weights): 8 loads, 16 unpacks, 64 operations to decode, 40 vpdpbusd, 20 loads and stores of
// sums, 8 prefetches: memory gives them slower than that.
#include "kernels/avx512/columns_zmm.h"

namespace bitnet {

extern const ColumnKernel kAvx512Columns = {"avx512-columns",
                                            "avx512-vbmi",
                                            kAvx512Level,
                                            Avx512Columns::kFields,
                                            columns_nonzero<Avx512Columns>,
                                            columns_live<Avx512Columns>,
                                            columns_gemm<Avx512Columns>,
                                            columns_scratch<Avx512Columns>,
                                            columns_gemm_cost<Avx512Columns>};

}  // namespace bitnet
