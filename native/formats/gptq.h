// GPTQ's storage of 2-, 3- and 4-bit codes and zero points in safetensors (AutoGPTQ's and transformers' layout).
//
// Bits follow one another in little-endian 32-bit words, the first in the lowest place; a 3-bit code may straddle two.
//   qweight  int32 [columns * bits / 32][rows]   a row's codes run down a column
//   qzeros   int32 [groups][rows * bits / 32]    a group's zeros run along a row
//   weight[r][k] = (code[r][k] - (zero[g][r] + offset)) * scale[g][r], offset 1 or 0 by the checkpoint's version
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet {

// Codes of `count` rows from row_begin, [count][columns].
void gptq_codes(const uint8_t* qweight, int bits, size_t rows, size_t columns, size_t row_begin, size_t count,
                uint8_t* codes);
// The stored zero of a row in a group.
uint8_t gptq_zero(const uint8_t* qzeros, int bits, size_t rows, size_t group, size_t row);

}  // namespace bitnet
