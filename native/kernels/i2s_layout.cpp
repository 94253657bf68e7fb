#include "kernels/i2s_layout.h"

namespace bitnet::i2s {

size_t packed_bytes(size_t rows, size_t columns) { return packed_rows_bytes<Layout>(rows, columns); }

void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  pack_rows<Layout>(codes, row_begin, count, rows, columns, packed, [](const uint8_t* c, size_t j) {
    return static_cast<uint8_t>(c[j] | c[64 + j] << 2 | c[128 + j] << 4 | c[192 + j] << 6);
  });
}

}  // namespace bitnet::i2s
