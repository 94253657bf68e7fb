// A storage format of weights in a model file: how many bytes a tensor takes, and how to read it. One file a format, one
// line in registry.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/float_ops.h"

namespace bitnet {

// Weights (step * code - zero) * scale with a scale of their own for each `group` consecutive columns of a row.
struct GroupScales {
  size_t group;  // 0: the whole row
  int bits;      // codes lie below 2^bits
  int zero;

  // As Format::unpack_codes, codes 0 .. 2^bits - 1.
  bool (*unpack_codes)(const uint8_t* data, size_t rows, size_t columns, size_t row_begin, size_t count, uint8_t* codes);
  // [count][columns / group, rounded up] scales of rows row_begin ..
  void (*scales)(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float* out);
  // Whether the row is ternary with one scale, so that it can be multiplied as exact integers. Cheap: compares scales
  // only, and stops at the first that differs. Null for formats that are never ternary.
  bool (*one_scale)(const uint8_t* data, size_t columns, size_t row);
  int step = 1;  // 2 for one-bit codes, 0 and 1, that stand for -1 and +1
};

struct Format {
  const char* name;  // as in types/addon.d.ts

  // Bytes of a rows x columns tensor; 0 where the shape is impossible for the format.
  size_t (*bytes)(size_t rows, size_t columns);

  // Ternary formats: codes 0, 1, 2 (= weight + 1) of `count` rows from row_begin, one byte each, [count][columns]. False
  // where the file holds a code that stands for nothing. Null for formats that are not ternary.
  bool (*unpack_codes)(const uint8_t* data, size_t rows, size_t columns, size_t row_begin, size_t count, uint8_t* codes);

  // The tensor's scale where the format carries one; null where it comes from elsewhere.
  float (*scale)(const uint8_t* data, size_t rows, size_t columns);

  // Formats that can serve as embedding, head or norm; kNoDense for the others.
  int dense_type;

  // Float formats whose values are made ternary while packing (Ma et al. 2024, section 2): s = mean |w|, code = -1, 0 or
  // +1 by whether w lies below -s/2, between, or above s/2. Their `unpack_codes` is null.
  // Sum of |w| of a row: 16 partial sums in double, value i going to i % 16, then added up in rising order. Not finite
  // where a value isn't.
  double (*row_magnitude)(const uint8_t* data, size_t columns, size_t row) = nullptr;
  // Codes of `count` rows from row_begin, [count][columns].
  void (*quantize_codes)(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float scale,
                         uint8_t* codes) = nullptr;

  // Formats with a scale per row or per group; their `scale` is null.
  const GroupScales* groups = nullptr;

  // GPTQ: bits of a code; scales and zeros are tensors of their own (formats/gptq.h). 0 for all others.
  int gptq_bits = 0;

  // Whether tiles whose sizes the file does not tell take the place of rows: `bytes` is 0 where they aren't known either.
  bool tiled = false;

  // What to say of a tensor where unpack_codes returns false; null: it holds the code 3.
  const char* invalid = nullptr;
};

constexpr int kNoDense = -1;

extern const Format kFormatF32;
extern const Format kFormatF16;
extern const Format kFormatBf16;
extern const Format kFormatQ8_0;
extern const Format kFormatQ6_K;
extern const Format kFormatQ4_K;
extern const Format kFormatI2S;
extern const Format kFormatTl1;
extern const Format kFormatTl2;
extern const Format kFormatHfPackedU8;
extern const Format kFormatF32Master;
extern const Format kFormatF16Master;
extern const Format kFormatBf16Master;
extern const Format kFormatF32Unpacked;
extern const Format kFormatF16Unpacked;
extern const Format kFormatBf16Unpacked;
extern const Format kFormatTq1_0;
extern const Format kFormatTq2_0;
extern const Format kFormatPtq1_0;
extern const Format kFormatPq2_0;
extern const Format kFormatIq1Bn;
extern const Format kFormatIq2Bn;
extern const Format kFormatT5;
extern const Format kFormatQ1_0;
extern const Format kFormatQ2_0G64;
extern const Format kFormatQ2_0G128;
extern const Format kFormatQ4_0;
extern const Format kFormatGptq2;
extern const Format kFormatGptq3;
extern const Format kFormatGptq4;

const std::vector<const Format*>& all_formats();
// Throws Error(kUnsupportedModel) that lists the known ones.
const Format& find_format(const std::string& name, const std::string& tensor);

}  // namespace bitnet
