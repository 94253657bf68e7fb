#include "kernels/t5_layout.h"

namespace bitnet::t5 {

size_t packed_bytes(size_t rows, size_t columns) { return packed_rows_bytes<Layout>(rows, columns); }

void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  pack_rows<Layout>(codes, row_begin, count, rows, columns, packed, [](const uint8_t* c, size_t j) {
    return encode(c[j], c[64 + j], c[128 + j], c[192 + j], c[256 + j]);
  });
}

}  // namespace bitnet::t5
