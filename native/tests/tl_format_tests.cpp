// TL1 and TL2: every shape whose tile sizes are known, against tensors that are written here as their definition says, in
// the order in which bytes lie in a file. Of a large matrix the first and the last tile of rows are written and read.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "formats/format.h"
#include "formats/tl_presets.h"
#include "tests/tests.h"

using namespace bitnet;

namespace {

constexpr float kScale = 0.0123f;

// What a tensor is made of: weights -1, 0, +1 by row and column.
int weight(size_t row, size_t column) {
  const uint64_t x = (row * 0x9e3779b97f4a7c15ull) ^ (column * 0xc2b2ae3d27d4eb4full);
  return static_cast<int>((x * 0xd6e8feb86659fd93ull) >> 40) % 3 - 1;
}
int pair(size_t row, size_t k) { return 3 * weight(row, k) + weight(row, k + 1); }
int triple(size_t row, size_t k) { return 9 * weight(row, k) + 3 * weight(row, k + 1) + weight(row, k + 2); }
uint8_t byte(int high, int low) { return static_cast<uint8_t>(high << 4 | low); }

bool written(const TlPreset& p, size_t row) { return row < p.tile_rows || row >= p.rows - p.tile_rows; }

std::vector<uint8_t> write_tl1(const TlPreset& p) {
  std::vector<uint8_t> out(p.rows * p.columns / 4 + 32);
  uint8_t* at = out.data();
  const size_t strip = 256 / p.inner_rows;
  for (size_t tile = 0; tile < p.rows; tile += p.tile_rows) {
    if (!written(p, tile)) {
      at += p.tile_rows * p.columns / 4;
      continue;
    }
    for (size_t panel = 0; panel < p.columns; panel += p.tile_columns)
      for (size_t inner = tile; inner < tile + p.tile_rows; inner += p.inner_rows)
        for (size_t k0 = panel; k0 < panel + p.tile_columns; k0 += strip)
          for (size_t row0 = inner; row0 < inner + p.inner_rows; row0 += 16)
            for (size_t k = k0; k < k0 + strip; k += 4)
              for (size_t row = row0; row < row0 + 16; row++) *at++ = byte(pair(row, k) + 4, pair(row, k + 2) + 4);
  }
  std::memcpy(at, &kScale, 4);
  return out;
}

std::vector<uint8_t> write_tl2(const TlPreset& p) {
  const size_t reserved = (p.columns - 256) * p.rows / 3 * 5 / 8 + 256 * p.rows / 4, end = (reserved + 31) / 32 * 32;
  const size_t three = p.columns - p.columns % p.tile_columns;
  constexpr size_t kOrder[4] = {0, 16, 8, 24};  // of eight rows each
  std::vector<uint8_t> out(end + 32);
  uint8_t* at = out.data();
  // Visits 32 rows x `step` columns at a time, or skips their `bytes` bytes.
  auto blocks = [&](size_t from, size_t to, size_t width, size_t step, size_t bytes, auto&& write) {
    for (size_t tile = 0; tile < p.rows; tile += p.tile_rows)
      for (size_t panel = from; panel < to; panel += width)
        for (size_t row = tile; row < tile + p.tile_rows; row += 32)
          for (size_t k = panel; k < panel + width; k += step) {
            if (written(p, row)) {
              write(row, k, at);
            }
            at += bytes;
          }
  };
  blocks(0, three, p.tile_columns, 6, 32, [&](size_t row, size_t k, uint8_t* to) {
    for (size_t eight : kOrder)
      for (size_t r = row + eight; r < row + eight + 8; r++) *to++ = byte(std::abs(triple(r, k)), std::abs(triple(r, k + 3)));
  });
  blocks(0, three, p.tile_columns, 24, 32, [&](size_t row, size_t k, uint8_t* to) {
    for (size_t c = 0; c < 16; c++) {
      unsigned word = 0;
      for (size_t t = 0; t < 8; t++)
        for (const size_t half : std::initializer_list<size_t>{0, 16}) word = word << 1 | (triple(row + half + c, k + 3 * t) < 0);
      *to++ = static_cast<uint8_t>(word);
      *to++ = static_cast<uint8_t>(word >> 8);
    }
  });
  blocks(three, p.columns, 32, 4, 32, [&](size_t row, size_t k, uint8_t* to) {
    for (size_t eight : kOrder)
      for (size_t r = row + eight; r < row + eight + 8; r++) *to++ = byte(pair(r, k) + 4, pair(r, k + 2) + 4);
  });
  std::memcpy(out.data() + end, &kScale, 4);
  return out;
}

void check(const Format& format, const TlPreset& p, const std::vector<uint8_t>& data, TestResult& result) {
  const std::string what = std::string(format.name) + " " + std::to_string(p.rows) + "x" + std::to_string(p.columns);
  result.check(format.bytes(p.rows, p.columns) == data.size(), what + ": another size");
  result.check(format.scale(data.data(), p.rows, p.columns) == kScale, what + ": another scale");
  std::vector<uint8_t> codes(p.columns * 16);
  int wrong = 0;
  for (size_t row = 0; row < p.rows; row += 16) {
    if (!written(p, row)) continue;
    wrong += !format.unpack_codes(data.data(), p.rows, p.columns, row, 16, codes.data());
    for (size_t i = 0; i < codes.size(); i++) {
      wrong += codes[i] != weight(row + i / p.columns, i % p.columns) + 1;
    }
  }
  result.check(!wrong, what + ": " + std::to_string(wrong) + " codes differ");
}

}  // namespace

void test_tl_formats(Scope scope, TestResult& result) {
  run_section(result, "TL1 and TL2 files", [&] {
    auto big = [&](const TlPreset& p) { return scope != Scope::kFull && p.rows * p.columns > 3u << 20; };
    for (const auto& p : kTl1Presets) {
      if (!big(p)) check(kFormatTl1, p, write_tl1(p), result);
    }
    for (const auto& p : kTl2Presets) {
      if (!big(p)) check(kFormatTl2, p, write_tl2(p), result);
    }
    result.check(!kFormatTl1.bytes(4096, 14336) && !kFormatTl2.bytes(2560, 2560), "a shape without a preset has a size");
  });
}
