// What the look-up families share: TL1 (pairs), TL2 (triples) and T-MAC (bit planes over fours).
//
// A group of G neighbouring activations has one 16-entry table per token; 4 packed bits of a row index it and give the
// group's whole contribution to that row's sum. The sums of the activations whose bit is set would lie to one side of 0, so
// the entries of fours are lowered by floor(sum of the four / 2), which makes them as small as can be; what that takes away
// is the same for all rows and is added once. Entries reach 256 (pairs, fours) or 384 (triples), so each is split exactly:
// e = low + 256 * high, low a signed byte, high in -2..2 (fours: -1..1). High parts are 0 unless a group's sums leave a signed
// byte: with activations scaled to their row's maximum that is rare. So a table lists the units (as many groups as the
// instruction set looks up at a time) that have any, and the kernels add high parts for those only ("sparse") or, where
// half of the units or more have some, in the same loop ("dense"). Both give the same sums for any input; only the time
// depends on the activations.
//
// A block is what 64 bytes of TL1 or of two-plane T-MAC hold for 16 rows (a tile): `groups` groups of `columns`
// columns. The tiles of a matrix follow one another, each a stream of its own over all columns.
//
// A token's table: [header, 64 bytes][low parts][high parts][of fours: LutSums of each block][numbers of the units with
// high parts, uint32 each]; the parts are [block][group][16 entries], so that 64 bytes are the tables of four groups: one
// vpermb operand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"
#include "kernels/kernel.h"

namespace bitnet {
namespace {

// kBlocks: columns are padded to this many blocks. coefficient(i, e): how activation i of a group counts in entry e.
struct Pairs {
  static constexpr bool kCentred = false;
  static constexpr size_t kGroup = 2, kGroups = 8, kColumns = 16, kBlocks = 1;
  // entry 3a + b + 4 for the weights a, b
  static constexpr int coefficient(size_t i, int e) { return e > 8 ? 0 : (i == 0 ? e / 3 : e % 3) - 1; }
};
struct Triples {
  static constexpr bool kCentred = false;
  static constexpr size_t kGroup = 3, kGroups = 8, kColumns = 24, kBlocks = 4;
  // entry |9a + 3b + c|; the sign is kept apart. Balanced ternary digits of e, 0..13.
  static constexpr int coefficient(size_t i, int e) {
    return e > 13 ? 0 : i == 2 ? (e + 1) % 3 - 1 : i == 1 ? (e + 4) / 3 % 3 - 1 : (e + 13) / 9 % 3 - 1;
  }
};
struct Fours {
  static constexpr bool kCentred = true;
  static constexpr size_t kGroup = 4, kGroups = 4, kColumns = 16, kBlocks = 2;
  // bit i of e: whether weight i has this plane's bit. Sums of the activations x are centred as ceil(sum of +-x / 2),
  // which is the sum of the chosen ones less floor(sum of all / 2).
  static constexpr int coefficient(size_t i, int e) { return e >> i & 1 ? 1 : -1; }
};

template <class G>
BITNET_INLINE size_t lut_blocks(size_t columns) {
  return (columns + G::kColumns * G::kBlocks - 1) / (G::kColumns * G::kBlocks) * G::kBlocks;
}

// A token's table, and which units of a range of blocks have high parts.
struct LutTable {
  const uint8_t* low;  // [block][group][16], of all blocks
  const uint8_t* high;
  int32_t halves;      // LutSums::halves of all blocks; 0 but for fours
  const uint32_t* wide;  // numbers of the range's units with high parts, ascending
  size_t wide_count;
  bool dense;
};

// Sums of a block of activations.
struct LutSums {
  int32_t all;
  int32_t halves;  // of floor(sum of a four / 2)
};

struct LutHeader {
  uint32_t wide_count;
  int32_t halves;
};

constexpr size_t kLutHeader = 64;

// Units with high parts, ascending.
struct LutWide {
  const uint32_t* units;
  size_t count;
};

// Those of T tables; whether the tokens had better be taken as dense.
template <int T>
BITNET_INLINE bool lut_wide(const LutTable* tables, LutWide (&wide)[T]) {
  bool dense = false;
  for (int t = 0; t < T; t++) {
    wide[t] = {tables[t].wide, tables[t].wide_count};
    dense |= tables[t].dense;
  }
  return dense;
}

template <class G>
BITNET_INLINE size_t lut_sums_bytes(size_t blocks) {
  return G::kCentred ? blocks * sizeof(LutSums) : 0;
}

// Blocks first to last (exclusive) of token's table among `tables`. Unit: groups of a unit.
template <class G, size_t Unit>
BITNET_INLINE LutTable lut_table(const void* tables, size_t table_bytes, size_t token, size_t blocks, size_t first,
                                 size_t last) {
  const uint8_t* p = static_cast<const uint8_t*>(tables) + token * table_bytes;
  const size_t part = blocks * G::kGroups * 16, units = G::kGroups / Unit;
  LutTable t;
  const auto* header = reinterpret_cast<const LutHeader*>(p);
  size_t count = header->wide_count;
  t.halves = header->halves;
  t.low = p + kLutHeader;
  t.high = t.low + part;
  t.wide = reinterpret_cast<const uint32_t*>(t.high + part + lut_sums_bytes<G>(blocks));
  for (; count && *t.wide < first * units; t.wide++) count--;
  while (count && t.wide[count - 1] >= last * units) count--;
  t.wide_count = count;
  t.dense = 2 * count >= (last - first) * units;
  return t;
}

template <class G>
BITNET_INLINE size_t lut_table_bytes(size_t columns) {
  const size_t blocks = lut_blocks<G>(columns);
  return (kLutHeader + blocks * G::kGroups * (2 * 16 + 4) + lut_sums_bytes<G>(blocks) + 4 + 63) / 64 * 64;
}

// The LutSums of a table of fours, one a block.
BITNET_INLINE const LutSums* lut_sums(const LutTable& table, size_t blocks) {
  return reinterpret_cast<const LutSums*>(table.high + blocks * Fours::kGroups * 16);
}

// Builds a token's table. Isa::entries<G>(x, low, high) writes the 16 * G::kGroups entries of one block from its columns
// and returns which of its units of Isa::kUnit groups have a high part that is not 0, as bits; Isa::sums(x) are the
// LutSums of 16 activations.
template <class G, class Isa>
BITNET_INLINE void lut_build_table(const int8_t* values, size_t columns, void* table) {
  constexpr size_t units = G::kGroups / Isa::kUnit;
  const size_t blocks = lut_blocks<G>(columns), part = blocks * G::kGroups * 16;
  auto* low = static_cast<uint8_t*>(table) + kLutHeader;
  auto* sums = reinterpret_cast<LutSums*>(low + 2 * part);
  auto* wide = reinterpret_cast<uint32_t*>(low + 2 * part + lut_sums_bytes<G>(blocks));
  uint32_t wide_count = 0;
  int32_t halves = 0;
  for (size_t b = 0; b < blocks; b++) {
    const int8_t* x = values + b * G::kColumns;
    int8_t last[G::kColumns];
    if ((b + 1) * G::kColumns > columns) {  // a block of three may reach past the activations' padding
      for (size_t i = 0; i < G::kColumns; i++) last[i] = b * G::kColumns + i < columns ? x[i] : int8_t{0};
      x = last;
    }
    const size_t at = b * G::kGroups * 16;
    const uint32_t bits = Isa::template entries<G>(x, low + at, low + part + at);
    if constexpr (G::kCentred) {
      sums[b] = Isa::sums(x);
      halves += sums[b].halves;
    }
    for (size_t u = 0; u < units; u++) {  // what is not counted is overwritten by the next
      wide[wide_count] = static_cast<uint32_t>(b * units + u);
      wide_count += bits >> u & 1;
    }
  }
  *static_cast<LutHeader*>(table) = {wide_count, halves};
}

// Bytes of one tile of 16 rows.
BITNET_INLINE size_t tl1_tile_bytes(size_t columns) { return lut_blocks<Pairs>(columns) * 64; }
// [16 int32: groups of a negative sign in each row], then per 4 blocks (96 columns) 256 bytes of indices and 64 of signs.
BITNET_INLINE size_t tl2_tile_bytes(size_t columns) { return 64 + lut_blocks<Triples>(columns) / 4 * 320; }
BITNET_INLINE size_t tmac_tile_bytes(size_t columns, size_t planes) {
  return lut_blocks<Fours>(columns) * planes * 32;
}

}  // namespace

// Packing, and the sizes as functions that kernel objects can point to. Defined in tmac_lut.cpp.
namespace tl1 {
size_t packed_bytes(size_t rows, size_t columns);
size_t table_bytes(size_t columns);
// Rows in bytes (scalar, AVX2, NEON): per block [group quad h][l = 0, 1][row r], low nibble group 4h + l, high nibble
// group 4h + 2 + l.
void pack_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
// Rows in dwords (AVX-512): byte 4r + j of a block: low nibble group j, high nibble group 4 + j of row r.
void pack_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
}  // namespace tl1

namespace tl2 {
size_t packed_bytes(size_t rows, size_t columns);
size_t table_bytes(size_t columns);
// Indices as in TL1. Signs of 4 blocks: [block / 2][l][row], bit 7 - (4 * (block % 2) + 2h + nibble).
void pack_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
// Indices as in TL1. Signs: per block two 64-bit masks (low and high nibbles), bit 4r + j.
void pack_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
}  // namespace tl2

namespace tmac {
enum class Layout {
  kRows,    // scalar, NEON: per block and plane 32 bytes as a quad of TL1
  kWords,   // AVX2: per block and pair of planes [y = 0, 1][h = 0, 1][i = 0 .. 7][plane], row 4h + i % 4 + i / 4 * 8, low
            // nibble group 2y, high nibble group 2y + 1; a last odd plane [l][i][h], the byte of that row, low nibble
            // group l, high nibble group 2 + l
  kDwords,  // AVX-512: a slot is 64 nibbles, 4r + j, of one block and plane; slots are numbered block * planes + plane,
            // even ones take the low nibbles of 64 bytes, odd ones the high nibbles
};
size_t table_bytes(size_t columns);
// Codes of `planes` bits, 0 .. 2^planes - 1.
void pack(Layout layout, size_t planes, const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns,
          uint8_t* packed);
// For ternary codes: two planes.
size_t packed_bytes2(size_t rows, size_t columns);
void pack2_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
void pack2_words(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
void pack2_dwords(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
}  // namespace tmac

size_t lut_no_scratch(size_t columns);

}  // namespace bitnet
