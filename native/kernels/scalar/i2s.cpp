// scalar-i2s: the specification of the I2_S product. Slow and obvious; every other I2_S kernel must equal it.
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"

namespace bitnet {
namespace {

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void*) {
  for (size_t t = 0; t < x.count; t++) {
    const int8_t* q = x.values + t * x.stride;
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* packed = w.data + row * i2s::Layout::row_bytes(w.columns);
      int32_t sum = 0;
      for (size_t k = 0; k < w.columns; k++) {
        const size_t block = k / i2s::Layout::kBlockColumns, in_block = k % i2s::Layout::kBlockColumns;
        const uint8_t byte = packed[block * kBlockBytes + in_block % 64];
        const int32_t code = byte >> (2 * (in_block / 64)) & 3;
        sum += (code - 1) * q[k];
      }
      y[t * ldy + row] = sum;
    }
  }
}

size_t no_scratch(size_t) { return 0; }

}  // namespace

extern const TernaryKernel kScalarI2s = {
    "scalar-i2s", "i2s",  "scalar", "Plain C++ over 2-bit codes: the reference that all others must equal bit for bit.",
    0,            i2s::packed_bytes, i2s::pack, no_scratch, gemm, nullptr, nullptr, true,
};

}  // namespace bitnet
