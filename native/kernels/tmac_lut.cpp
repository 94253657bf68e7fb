// Packing for the look-up families: plain loops over (row, group), since it runs once per model.
#include "kernels/tmac_lut.h"

#include <cstring>

namespace bitnet {
namespace {

constexpr size_t kTile = 16;

// Calls set(tile, row in tile, block, group, codes of the group, how many of them exist) for every group of every row.
template <class G, class F>
void each_group(const uint8_t* codes, size_t row_begin, size_t count, size_t columns, F&& set) {
  for (size_t i = 0; i < count; i++) {
    const size_t row = row_begin + i;
    for (size_t k = 0, group = 0; k < columns; k += G::kGroup, group++) {
      const size_t left = columns - k;
      set(row / kTile, row % kTile, group / G::kGroups, group % G::kGroups, codes + i * columns + k,
          left < G::kGroup ? left : G::kGroup);
    }
  }
}

void clear(uint8_t* packed, size_t tile_bytes, size_t row_begin, size_t count) {
  std::memset(packed + row_begin / kTile * tile_bytes, 0, round_up(count, kTile) / kTile * tile_bytes);
}

// Byte of a block's 64 index bytes, and whether the high nibble, for a group 0..7.
size_t rows_byte(size_t row, size_t group) { return 32 * (group / 4) + 16 * (group % 2) + row; }
bool rows_high(size_t group) { return group & 2; }
size_t dwords_byte(size_t row, size_t group) { return 4 * row + group % 4; }
bool dwords_high(size_t group) { return group & 4; }

void put(uint8_t& byte, bool high, unsigned nibble) { byte = static_cast<uint8_t>(byte | nibble << (high ? 4 : 0)); }

unsigned pair_index(const uint8_t* c, size_t n) { return 3u * c[0] + (n > 1 ? c[1] : 1u); }

template <bool Dwords>
void pack_tl1(const uint8_t* codes, size_t row_begin, size_t count, size_t columns, uint8_t* packed) {
  const size_t tile_bytes = tl1_tile_bytes(columns);
  clear(packed, tile_bytes, row_begin, count);
  each_group<Pairs>(codes, row_begin, count, columns,
                    [&](size_t tile, size_t row, size_t block, size_t group, const uint8_t* c, size_t n) {
                      uint8_t* p = packed + tile * tile_bytes + block * 64;
                      put(p[Dwords ? dwords_byte(row, group) : rows_byte(row, group)],
                          Dwords ? dwords_high(group) : rows_high(group), pair_index(c, n));
                    });
}

template <bool Dwords>
void pack_tl2(const uint8_t* codes, size_t row_begin, size_t count, size_t columns, uint8_t* packed) {
  const size_t tile_bytes = tl2_tile_bytes(columns);
  clear(packed, tile_bytes, row_begin, count);
  each_group<Triples>(codes, row_begin, count, columns,
                      [&](size_t tile, size_t row, size_t block, size_t group, const uint8_t* c, size_t n) {
    const int v = 9 * (c[0] - 1) + 3 * (n > 1 ? c[1] - 1 : 0) + (n > 2 ? c[2] - 1 : 0);
    uint8_t* p = packed + tile * tile_bytes;
    uint8_t* super = p + 64 + block / 4 * 320;
    uint8_t* signs = super + 256;
    put(super[block % 4 * 64 + (Dwords ? dwords_byte(row, group) : rows_byte(row, group))],
        Dwords ? dwords_high(group) : rows_high(group), static_cast<unsigned>(v < 0 ? -v : v));
    if (v >= 0) return;
    int32_t negative;
    std::memcpy(&negative, p + 4 * row, 4);
    negative++;
    std::memcpy(p + 4 * row, &negative, 4);
    if (Dwords) {
      const size_t bit = 4 * row + group % 4;
      uint8_t& byte = signs[block % 4 * 16 + group / 4 * 8 + bit / 8];
      byte = static_cast<uint8_t>(byte | 1u << bit % 8);
    } else {
      const size_t slot = 4 * (block % 2) + group / 4 * 2 + (rows_high(group) ? 1 : 0);
      uint8_t& byte = signs[32 * (block % 4 / 2) + 16 * (group % 2) + row];
      byte = static_cast<uint8_t>(byte | 1u << (7 - slot));
    }
  });
}

size_t tiles(size_t rows) { return (rows + kTile - 1) / kTile; }

}  // namespace

size_t lut_no_scratch(size_t) { return 0; }

namespace tl1 {
size_t packed_bytes(size_t rows, size_t columns) { return tiles(rows) * tl1_tile_bytes(columns); }
size_t table_bytes(size_t columns) { return lut_table_bytes<Pairs>(columns); }
void pack_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t, size_t columns, uint8_t* packed) {
  pack_tl1<false>(codes, row_begin, count, columns, packed);
}
void pack_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t, size_t columns, uint8_t* packed) {
  pack_tl1<true>(codes, row_begin, count, columns, packed);
}
}  // namespace tl1

namespace tl2 {
size_t packed_bytes(size_t rows, size_t columns) { return tiles(rows) * tl2_tile_bytes(columns); }
size_t table_bytes(size_t columns) { return lut_table_bytes<Triples>(columns); }
void pack_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t, size_t columns, uint8_t* packed) {
  pack_tl2<false>(codes, row_begin, count, columns, packed);
}
void pack_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t, size_t columns, uint8_t* packed) {
  pack_tl2<true>(codes, row_begin, count, columns, packed);
}
}  // namespace tl2

namespace tmac {
size_t table_bytes(size_t columns) { return lut_table_bytes<Fours>(columns); }

void pack(Layout layout, size_t planes, const uint8_t* codes, size_t row_begin, size_t count, size_t, size_t columns,
          uint8_t* packed) {
  const size_t tile_bytes = tmac_tile_bytes(columns, planes);
  clear(packed, tile_bytes, row_begin, count);
  each_group<Fours>(codes, row_begin, count, columns,
                    [&](size_t tile, size_t row, size_t block, size_t group, const uint8_t* c, size_t n) {
    uint8_t* p = packed + tile * tile_bytes;
    for (size_t plane = 0; plane < planes; plane++) {
      unsigned nibble = 0;
      for (size_t i = 0; i < n; i++) nibble |= (c[i] >> plane & 1u) << i;
      if (layout == Layout::kDwords) {
        const size_t slot = block * planes + plane;
        put(p[slot / 2 * 64 + dwords_byte(row, group)], slot % 2 != 0, nibble);
        continue;
      }
      uint8_t* in_block = p + block * planes * 32;
      if (layout == Layout::kRows) {
        put(in_block[plane * 32 + rows_byte(row, group)], rows_high(group), nibble);
        continue;
      }
      const size_t half = row / 4 % 2, word = row / 8 * 4 + row % 4;
      if (plane / 2 * 2 + 1 < planes) {
        put(in_block[plane / 2 * 64 + 32 * (group / 2) + 16 * half + 2 * word + plane % 2], group % 2, nibble);
      } else {
        put(in_block[plane * 32 + 16 * (group % 2) + 2 * word + half], rows_high(group), nibble);
      }
    }
  });
}

size_t packed_bytes2(size_t rows, size_t columns) { return tiles(rows) * tmac_tile_bytes(columns, 2); }
void pack2_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  pack(Layout::kRows, 2, codes, row_begin, count, rows, columns, packed);
}
void pack2_words(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  pack(Layout::kWords, 2, codes, row_begin, count, rows, columns, packed);
}
void pack2_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  pack(Layout::kDwords, 2, codes, row_begin, count, rows, columns, packed);
}
}  // namespace tmac

}  // namespace bitnet
