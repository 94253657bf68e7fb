// scalar-t5: the specification of the dense 1.6-bit product.
#include "kernels/t5_layout.h"
#include "kernels/registry.h"

namespace bitnet {
namespace {

// Code f (0..4) of a byte.
int32_t digit(uint8_t byte, size_t f) {
  const int32_t high = byte / 28, low = byte % 28;
  switch (f) {
    case 0: return low % 3;
    case 1: return low / 3 % 3;
    case 2: return low / 9;
    case 3: return high % 3;
    default: return high / 3;
  }
}

void gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end, void*) {
  for (size_t t = 0; t < x.count; t++) {
    const int8_t* q = x.values + t * x.stride;
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* packed = w.data + row * t5::Layout::row_bytes(w.columns);
      int32_t sum = 0;
      for (size_t k = 0; k < w.columns; k++) {
        const size_t block = k / t5::Layout::kBlockColumns, in_block = k % t5::Layout::kBlockColumns;
        const uint8_t byte = packed[block * kBlockBytes + in_block % 64];
        sum += (digit(byte, in_block / 64) - 1) * q[k];
      }
      y[t * ldy + row] = sum;
    }
  }
}

size_t no_scratch(size_t) { return 0; }

}  // namespace

extern const TernaryKernel kScalarT5 = {
    "scalar-t5", "t5", "scalar", "Plain C++ over five weights a byte: what the other 1.6-bit kernels must equal.",
    0, t5::packed_bytes, t5::pack, no_scratch, gemm, nullptr, nullptr,
};

}  // namespace bitnet
