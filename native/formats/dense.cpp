// Formats whose values are multiplied as floats: plain floats, and ggml's Q6_K and Q4_K blocks (laid out in
// kernels/dense.inl and dense_blocks.inl, where they are read).
#include "formats/format.h"

namespace bitnet {
namespace {

template <DenseType D>
size_t bytes(size_t rows, size_t columns) {
  return rows * dense_row_bytes(D, columns);
}

template <DenseType D>
constexpr Format dense_format(const char* name) {
  return {name, bytes<D>, nullptr, nullptr, static_cast<int>(D)};
}

}  // namespace

extern const Format kFormatF32 = dense_format<DenseType::kF32>("f32");
extern const Format kFormatF16 = dense_format<DenseType::kF16>("f16");
extern const Format kFormatBf16 = dense_format<DenseType::kBf16>("bf16");
extern const Format kFormatQ6_K = dense_format<DenseType::kQ6_K>("q6_k");
extern const Format kFormatQ4_K = dense_format<DenseType::kQ4_K>("q4_k");

}  // namespace bitnet
