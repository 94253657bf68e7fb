#include "kernels/column_kernel.h"

#include <cstring>
#include <vector>

#include "aligned_buffer.h"
#include "kernels/t5_layout.h"
#include "kernels/xorshift.h"

namespace bitnet {
namespace {

// A random matrix, its packed form, and activations; all of them extreme where `extreme` is not 0.
struct Case {
  std::vector<uint8_t> codes;
  AlignedBuffer<uint8_t> packed;
  AlignedBuffer<int8_t> x;
  std::vector<int32_t> sums;
  size_t stride;

  Case(const ColumnKernel& kernel, size_t rows, size_t columns, size_t tokens, unsigned nonzero_percent, int extreme)
      : codes(rows * columns),
        packed(kernel.packed_bytes(rows, columns)),
        x(tokens * round_up(columns, kActivationPad)),
        sums(tokens),
        stride(round_up(columns, kActivationPad)) {
    Random random{0x9e3779b97f4a7c15ull ^ (rows * 31 + columns * 7 + nonzero_percent + tokens * 131)};
    for (auto& c : codes) c = extreme ? 2 : static_cast<uint8_t>(random.next() % 3);
    const size_t half = rows > kernel.block_rows() ? kernel.block_rows() : rows;
    kernel.pack(codes.data(), 0, half, rows, columns, packed.data());
    if (half < rows) kernel.pack(codes.data() + half * columns, half, rows - half, rows, columns, packed.data());
    std::memset(x.data(), 0, x.bytes());
    for (size_t t = 0; t < tokens; t++) {
      for (size_t k = 0; k < columns; k++) {
        if (random.next() % 100 >= nonzero_percent) continue;
        const auto value = extreme ? static_cast<int8_t>(extreme) : static_cast<int8_t>(random.next() & 0xff);
        x[t * stride + k] = value;
        sums[t] += value;
      }
    }
  }

  int32_t expected(size_t row, size_t columns, size_t token) const {
    int32_t sum = 0;
    for (size_t k = 0; k < columns; k++) sum += (codes[row * columns + k] - 1) * x[token * stride + k];
    return sum;
  }
};

std::string difference(const ColumnKernel& kernel, size_t rows, size_t columns, const std::string& what, size_t row,
                       int32_t sum, int32_t expected) {
  return std::string(kernel.name) + " differs from the reference: " + std::to_string(rows) + "x" + std::to_string(columns) + ", " +
         what + ", row " + std::to_string(row) + ": " + std::to_string(sum) + " instead of " + std::to_string(expected);
}

// Columns that are packed at a time.
constexpr size_t kPackedColumns = 64;

void combine_five(const uint8_t* const* field, size_t width, uint8_t* out) {
  const uint8_t *t0 = field[0], *t1 = field[1], *t2 = field[2], *t3 = field[3], *t4 = field[4];
  for (size_t k = 0; k < width; k++) out[k] = t5::encode(t0[k], t1[k], t2[k], t3[k], t4[k]);
}

void combine_four(const uint8_t* const* field, size_t width, uint8_t* out) {
  const uint8_t *t0 = field[0], *t1 = field[1], *t2 = field[2], *t3 = field[3];
  for (size_t k = 0; k < width; k++) out[k] = static_cast<uint8_t>(t0[k] | t1[k] << 2 | t2[k] << 4 | t3[k] << 6);
}

// Columns 0 .. count - 1 of 8 rows, kPackedColumns bytes apart, become rows of 8 bytes, `stride` apart. Bytes change sides in
// squares of 1, 2 and 4.
void transpose(const uint8_t* in, size_t count, uint8_t* out, size_t stride) {
  uint64_t row[8];
  for (size_t i = 0; i < 8; i++) std::memcpy(&row[i], in + i * kPackedColumns, 8);
  auto exchange = [&](size_t a, size_t b, unsigned shift, uint64_t mask) {
    const uint64_t differ = (row[a] >> shift ^ row[b]) & mask;
    row[b] ^= differ;
    row[a] ^= differ << shift;
  };
  for (size_t i = 0; i < 8; i += 2) exchange(i, i + 1, 8, 0x00ff00ff00ff00ffull);
  for (size_t i : {size_t{0}, size_t{1}, size_t{4}, size_t{5}}) exchange(i, i + 2, 16, 0x0000ffff0000ffffull);
  for (size_t i = 0; i < 4; i++) exchange(i, i + 4, 32, 0x00000000ffffffffull);
  for (size_t k = 0; k < count; k++) std::memcpy(out + k * stride, &row[k], 8);
}

}  // namespace

void ColumnKernel::pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) const {
  static constexpr uint8_t kNone[kPackedColumns] = {};
  const size_t all_blocks = blocks(rows);
  // 64 columns at a time: what they read and write then stays in L1 and L2.
  for (size_t at = 0; at < count; at += block_rows()) {
    const size_t in_block = count - at < block_rows() ? count - at : block_rows();
    const size_t block = (row_begin + at) / block_rows();
    for (size_t k0 = 0; k0 < columns; k0 += kPackedColumns) {
      const size_t width = columns - k0 < kPackedColumns ? columns - k0 : kPackedColumns;
      uint8_t tile[64][kPackedColumns] = {};
      for (size_t j = 0; j < 64; j++) {
        const uint8_t* field[5] = {kNone, kNone, kNone, kNone, kNone};
        for (size_t f = 0; f < fields; f++) {
          const size_t r = f * kColumnFieldRows + columns::row_of_byte(j);
          if (r < in_block) field[f] = codes + (at + r) * columns + k0;
        }
        if (fields == 5) combine_five(field, width, tile[j]);
        else combine_four(field, width, tile[j]);
      }
      for (size_t k = 0; k < width; k += 8) {
        uint8_t* out = packed + ((k0 + k) * all_blocks + block) * 64;
        for (size_t j = 0; j < 64; j += 8) transpose(&tile[j][k], width - k < 8 ? width - k : 8, out + j, all_blocks * 64);
      }
    }
  }
}

const ColumnKernel* column_kernel_for(const TernaryKernel& kernel) {
#if defined(BITNET_HAVE_AMX)
  if (!std::strncmp(kernel.isa, "amx", 3)) return &kAmxColumns;
#endif
#if defined(BITNET_HAVE_AVX512)
  if (!std::strncmp(kernel.isa, "avx512", 6)) return &kAvx512Columns;
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
  if (!std::strncmp(kernel.isa, "avx-vnni", 8)) return &kAvxVnniColumns;
#endif
#if defined(BITNET_HAVE_AVX2)
  if (!std::strncmp(kernel.isa, "avx", 3)) return &kAvx2Columns;
#endif
  if (!std::strcmp(kernel.isa, "scalar")) return &kScalarColumns;
  return nullptr;
}

std::string compare_columns(const ColumnKernel& kernel, size_t rows, size_t columns, size_t tokens, unsigned nonzero_percent,
                            int extreme) {
  const Case c(kernel, rows, columns, tokens, nonzero_percent, extreme);
  std::vector<ColumnId> ids(tokens * columns);
  std::vector<size_t> counts(tokens);
  for (size_t t = 0; t < tokens; t++) counts[t] = kernel.nonzero(c.x.data() + t * c.stride, columns, ids.data() + t * columns);
  const size_t blocks = kernel.blocks(rows), ldy = blocks * kernel.block_rows() + 16;
  std::vector<int32_t> y(tokens * ldy, 0x5a5a5a5a);
  const PackedMatrix w{c.packed.data(), rows, columns};
  const LiveInputs live{ids.data(), columns, counts.data()};
  const Activations x{c.x.data(), c.stride, c.sums.data(), tokens, nullptr};
  kernel.gemm_live(w, live, x, y.data(), ldy, 0, blocks / 2);
  kernel.gemm_live(w, live, x, y.data(), ldy, blocks / 2, blocks);
  const std::string what = std::to_string(nonzero_percent) + " % non-zero, token ";
  for (size_t t = 0; t < tokens; t++) {
    for (size_t r = 0; r < rows; r++) {
      const int32_t expected = c.expected(r, columns, t);
      if (expected != y[t * ldy + r]) return difference(kernel, rows, columns, what + std::to_string(t), r, y[t * ldy + r], expected);
    }
  }
  return "";
}

std::string compare_column_batch(const ColumnKernel& kernel, size_t rows, size_t columns, size_t tokens, int extreme) {
  const Case c(kernel, rows, columns, tokens, 60, extreme);
  const size_t ldy = round_up(rows, kColumnFieldRows) + 16;
  constexpr int32_t kUntouched = 0x5a5a5a5a;
  AlignedBuffer<int32_t> y(tokens * ldy);
  for (size_t i = 0; i < y.size(); i++) y[i] = kUntouched;
  AlignedBuffer<uint8_t> scratch(kernel.scratch_bytes(rows) + 64);
  const PackedMatrix w{c.packed.data(), rows, columns};
  // All columns; then those with an odd number, whose sums the others' activations must not enter.
  for (size_t odd = 0; odd < 2; odd++) {
    std::vector<ColumnId> ids;
    for (size_t k = 1; k < columns && odd; k += 2) ids.push_back(static_cast<ColumnId>(k));
    if (odd && ids.empty()) continue;
    AlignedBuffer<int8_t> side_by_side(odd ? tokens * c.stride : 0);
    std::vector<int32_t> sums(c.sums);
    if (odd) {
      std::memset(side_by_side.data(), 0, side_by_side.bytes());
      for (size_t t = 0; t < tokens; t++) {
        sums[t] = 0;
        for (size_t i = 0; i < ids.size(); i++) {
          side_by_side[t * c.stride + i] = c.x[t * c.stride + ids[i]];
          sums[t] += side_by_side[t * c.stride + i];
        }
      }
    }
    const Activations x{odd ? side_by_side.data() : c.x.data(), c.stride, sums.data(), tokens, nullptr};
    const ColumnList list{odd ? ids.data() : nullptr, odd ? ids.size() : columns};
    // In three parts, which cut blocks.
    const size_t first = rows / 3 / kColumnFieldRows * kColumnFieldRows, second = 2 * rows / 3 / kColumnFieldRows * kColumnFieldRows;
    const size_t cuts[4] = {0, first, second, rows};
    for (int i = 2; i >= 0; i--) {
      if (cuts[i] < cuts[i + 1]) kernel.gemm(w, list, x, y.data(), ldy, cuts[i], cuts[i + 1], scratch.data());
    }
    for (size_t t = 0; t < tokens; t++) {
      const std::string what = "token " + std::to_string(t) + " of " + std::to_string(tokens);
      for (size_t r = 0; r < rows; r++) {
        int32_t expected = 0;
        for (size_t k = odd; k < columns; k += 1 + odd) expected += (c.codes[r * columns + k] - 1) * c.x[t * c.stride + k];
        if (expected != y[t * ldy + r]) return difference(kernel, rows, columns, what, r, y[t * ldy + r], expected);
      }
      for (size_t r = ldy - 16; r < ldy; r++) {
        if (y[t * ldy + r] != kUntouched) return difference(kernel, rows, columns, what, r, y[t * ldy + r], kUntouched);
      }
    }
  }
  return "";
}

std::string self_test(const ColumnKernel& kernel) {
  constexpr size_t kRows = 330, kColumns = 330;
  for (int extreme : {0, -128}) {
    std::string found = compare_columns(kernel, kRows, kColumns, 1, 40, extreme);
    for (size_t tokens : {2u, 17u}) {
      if (found.empty()) found = compare_columns(kernel, kRows, kColumns, tokens, 40, extreme);
      if (found.empty()) found = compare_column_batch(kernel, kRows, kColumns, tokens, extreme);
    }
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace bitnet
