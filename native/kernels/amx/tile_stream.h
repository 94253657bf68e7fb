// A product of few tokens on tile registers, written once and instantiated per family.
//
// Each code is used for so few tokens that unpacking is the work. So codes lie in tiles as they come (16 rows of 64 columns
// are the first operand of TDPBUSD, a row of codes a line), and it is the activations that are transposed, once per call:
// line i of a tile of theirs holds columns 4i..4i+3 of up to 16 tokens.
//
//   tmm0 tmm1   sums of 16 rows x 16 tokens, in turns      tmm2   codes of 16 rows: 64 columns
//   tmm3..7     activations of a block's columns, which stay while all rows of a chunk pass
//
// While the vector units unpack a block of 16 rows, the matrix unit multiplies those of the 16 rows before: tiles come
// from where stores went some hundred instructions ago. Per tile of codes (1,024 weights) of t5: 16 cycles of stores, 16 of
// TDPBUSD, 15 to decode, 11 of tile loads, which overlap; measured 37 to 43, from memory 55 to 60 (13 GB/s of 16.5 that
// reading in this order gives). The two halves of the buffer and the steps within a half lie so that no two tiles in use
// share the low 12 bits of their addresses, on which loads wait for stores.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/avx512/transpose.h"
#include "kernels/kernel.h"
#include "kernels/row_layout.h"

namespace bitnet {
namespace {

// Two tokens are as fast on the AVX-512 kernel of the same layout; from 64 on, unpacking once for all is (tile_gemm.h).
// GMAC/s of t5 from memory at 2, 4, 8, 16, 32, 64 tokens, 2560 columns, one thread: 96 to 129, 230, 450, 840, 930, 950 here;
// 119, 190, 280, 235, 290 on AVX-512; 52, 104, 196, 353, 609, 833 in panels.
constexpr size_t kFewestTileTokens = 3;
constexpr size_t kMostStreamedTokens = 64;
constexpr size_t kStreamTokens = 16;
// Rows of a chunk: their sums (up to 16 KiB) stay in L1; their codes wait in L2, fetched while the chunk before is multiplied.
constexpr size_t kStreamRows = 256, kStreamBytes = size_t{96} << 10;
constexpr size_t kTileGroup = 16;

// Where step f of a half's tiles begins; the other half lies 2 KiB behind.
constexpr size_t kHalfBytes = 2048;
constexpr size_t step_offset(size_t f) { return f / 2 * 4096 + f % 2 * kTileBytes; }
constexpr size_t kStreamBufferBytes = 3 * 4096;

// Activations of up to 16 tokens, `columns` (whole blocks) of each, as tiles.
BITNET_INLINE void transpose_activations(const int8_t* x, size_t stride, size_t count, size_t columns, uint8_t* out) {
  for (size_t k = 0; k < columns; k += 64, x += 64, out += kTileBytes) {
    Zmm v[16];
    unroll<16>([&](auto t) BITNET_INLINE_LAMBDA {
      v[t] = static_cast<size_t>(t) < count ? load(x + t * stride) : _mm512_setzero_si512();
    });
    transpose_dwords(v);
    unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { _mm512_store_si512(out + 64 * i, v[i]); });
  }
}

BITNET_INLINE void configure_stream(size_t tokens) {
  TileConfig config;
  for (int i = 0; i < 8; i++) config.set(i, 16, i == 2 ? 64 : 4 * tokens);
  config.load();
}

// tmm(Turn) += codes of step f times the activations of its columns. Register numbers must be literals.
template <int Turn, int Step>
BITNET_INLINE void multiply_step(const uint8_t* half) {
  _tile_loadd(2, half + step_offset(Step), 64);
  if constexpr (Turn == 0) {
    if constexpr (Step == 0) _tile_dpbusd(0, 2, 3);
    if constexpr (Step == 1) _tile_dpbusd(0, 2, 4);
    if constexpr (Step == 2) _tile_dpbusd(0, 2, 5);
    if constexpr (Step == 3) _tile_dpbusd(0, 2, 6);
    if constexpr (Step == 4) _tile_dpbusd(0, 2, 7);
  } else {
    if constexpr (Step == 0) _tile_dpbusd(1, 2, 3);
    if constexpr (Step == 1) _tile_dpbusd(1, 2, 4);
    if constexpr (Step == 2) _tile_dpbusd(1, 2, 5);
    if constexpr (Step == 3) _tile_dpbusd(1, 2, 6);
    if constexpr (Step == 4) _tile_dpbusd(1, 2, 7);
  }
}

template <int Turn>
BITNET_INLINE void begin_sums(const int32_t* sums, bool first) {
  if constexpr (Turn == 0) {
    if (first) _tile_zero(0); else _tile_loadd(0, sums, 64);
  } else {
    if (first) _tile_zero(1); else _tile_loadd(1, sums, 64);
  }
}

template <int Turn>
BITNET_INLINE void end_sums(int32_t* sums) {
  if constexpr (Turn == 0) _tile_stored(0, sums, 64);
  if constexpr (Turn == 1) _tile_stored(1, sums, 64);
}

// Unpacks a block of 16 rows to a half and fetches as many lines from `next` on into L2; where `multiply`, the other half's
// tiles are multiplied into tmm(1 - Turn) meanwhile.
template <class Family, int Turn>
BITNET_INLINE void unpack_and_multiply(const Family& family, const uint8_t* block, size_t row_bytes, const uint8_t* next,
                                       uint8_t* buffer, bool multiply) {
  uint8_t* half = buffer + Turn * kHalfBytes;
  const uint8_t* other = buffer + (1 - Turn) * kHalfBytes;
  unroll<16>([&](auto r) BITNET_INLINE_LAMBDA {
    _mm_prefetch(reinterpret_cast<const char*>(next + 64 * r), _MM_HINT_T1);
    Zmm t[Family::kSteps];
    family.unpack(load(block + r * row_bytes), t);
    unroll<Family::kSteps>([&](auto f) BITNET_INLINE_LAMBDA { _mm512_store_si512(half + step_offset(f) + 64 * r, t[f]); });
    // From the fourth row on, when the other half's last lines are on their way.
    constexpr int kStep = (r - 3) / 2;
    if constexpr (r >= 3 && r % 2 == 1 && kStep < Family::kSteps) {
      if (multiply) multiply_step<1 - Turn, kStep>(other);
    }
  });
}

// A block column of `groups` x 16 rows: sums (+)= codes * activations.
template <class Family>
BITNET_INLINE void stream_column(const Family& family, const uint8_t* block, size_t row_bytes, size_t groups,
                                 const uint8_t* activations, bool first, int32_t* sums, const uint8_t* next, uint8_t* buffer) {
  constexpr size_t kSums = kTileGroup * kStreamTokens, kLines = kTileGroup * kBlockBytes;
  settle_memory();
  _tile_loadd(3, activations, 64);
  _tile_loadd(4, activations + kTileBytes, 64);
  _tile_loadd(5, activations + 2 * kTileBytes, 64);
  _tile_loadd(6, activations + 3 * kTileBytes, 64);
  if constexpr (Family::kSteps > 4) _tile_loadd(7, activations + 4 * kTileBytes, 64);
  auto finish = [&](auto turn, int32_t* group_sums) BITNET_INLINE_LAMBDA {
    settle_memory();
    begin_sums<turn>(group_sums, first);
    unroll<Family::kSteps>([&](auto f) BITNET_INLINE_LAMBDA { multiply_step<turn, f>(buffer + turn * kHalfBytes); });
    end_sums<turn>(group_sums);
  };
  using Even = std::integral_constant<int, 0>;
  using Odd = std::integral_constant<int, 1>;
  for (size_t g = 0; g < groups; g += 2, block += 2 * kTileGroup * row_bytes, sums += 2 * kSums, next += 2 * kLines) {
    settle_memory();
    if (g) begin_sums<1>(sums - kSums, first);
    unpack_and_multiply<Family, 0>(family, block, row_bytes, next, buffer, g > 0);
    if (g) end_sums<1>(sums - kSums);
    if (g + 1 == groups) return finish(Even{}, sums);
    begin_sums<0>(sums, first);
    settle_memory();
    unpack_and_multiply<Family, 1>(family, block + kTileGroup * row_bytes, row_bytes, next + kLines, buffer, true);
    end_sums<0>(sums);
  }
  finish(Odd{}, sums - kSums);
}

// TernaryKernel::gemm for up to kMostStreamedTokens tokens, 16 at a time: those after the first find a chunk's codes in L2.
template <class Family>
BITNET_INLINE void stream_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
                               size_t row_end, void* scratch) {
  using Layout = typename Family::Layout;
  const Family family;
  row_end = round_up(row_end, kRowTile);
  const size_t blocks = Layout::blocks(w.columns), row_bytes = Layout::row_bytes(w.columns);
  const size_t columns = blocks * Layout::kBlockColumns;
  auto* activations = static_cast<uint8_t*>(scratch);
  alignas(4096) uint8_t buffer[kStreamBufferBytes];
  alignas(64) int32_t sums[kStreamRows * kStreamTokens];
  for (size_t t = 0; t < x.count; t += kStreamTokens) {
    transpose_activations(x.values + t * x.stride, x.stride, smaller(kStreamTokens, x.count - t), columns,
                          activations + t * columns);
  }
  // Chunks of one size, since each fetches as much of the next as it has itself.
  const size_t most = larger(2 * kTileGroup, smaller(kStreamRows, kStreamBytes / row_bytes / (2 * kTileGroup) * (2 * kTileGroup)));
  const size_t chunks = (row_end - row_begin + most - 1) / most;
  const size_t step = round_up((row_end - row_begin) / chunks, 2 * kTileGroup);
  for (size_t row = row_begin; row < row_end; row += step) {
    const size_t rows = smaller(step, row_end - row), groups = rows / kTileGroup;
    const uint8_t* chunk = w.data + row * row_bytes;
    for (size_t t = 0; t < x.count; t += kStreamTokens) {
      const size_t tokens = smaller(kStreamTokens, x.count - t);
      if (t == 0 || tokens < kStreamTokens) configure_stream(tokens);
      // The first pass fetches the chunk that comes next, in the order in which it lies.
      const uint8_t* behind = w.after && row + rows == row_end ? w.after : chunk + rows * row_bytes;
      const uint8_t* next = t == 0 ? behind : chunk;
      const size_t ahead = t == 0 ? rows * kBlockBytes : 0;
      for (size_t b = 0; b < blocks; b++) {
        stream_column(family, chunk + b * kBlockBytes, row_bytes, groups,
                      activations + t * columns + b * Layout::kBlockColumns * kStreamTokens, b == 0, sums, next + b * ahead,
                      buffer);
      }
      settle_memory();
      for (size_t g = 0; g < groups; g++) {
        Zmm v[16];
        unroll<16>([&](auto i) BITNET_INLINE_LAMBDA { v[i] = load(sums + (kTileGroup * g + i) * kStreamTokens); });
        transpose_dwords(v);
        unroll<16>([&](auto i) BITNET_INLINE_LAMBDA {
          if (static_cast<size_t>(i) < tokens) {
            // Codes are w + 1.
            _mm512_storeu_si512(y + (t + i) * ldy + row + kTileGroup * g,
                                _mm512_sub_epi32(v[i], _mm512_set1_epi32(x.sums[t + i])));
          }
        });
      }
    }
  }
  _tile_release();
}

template <class Family>
size_t stream_scratch_bytes(size_t columns) {
  return kMostStreamedTokens * Family::Layout::blocks(columns) * Family::Layout::kBlockColumns;
}

}  // namespace
}  // namespace bitnet
