// The layout all I2_S (2-bit multiply-add) kernels share.
//
// Codes c = w + 1. A 64-byte block holds 256 consecutive weights of one row: byte j, bits 2f and 2f+1 = weight 64f + j,
// so activations stay in their natural order and a field needs one AND, no shift, when the factor 4^f it carries is
// undone once per row. Where rows and blocks lie: row_layout.h.
//
// Columns are padded to 256: the activations there are zero, any code will do; 0 is stored.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/row_layout.h"

namespace bitnet::i2s {

using Layout = RowLayout<256>;

size_t packed_bytes(size_t rows, size_t columns);
void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);

}  // namespace bitnet::i2s
