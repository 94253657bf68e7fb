// Tile sizes of TL1 and TL2 files. bitnet.cpp generates kernels for each model's shapes and its converter lays weights out
// for them; the sizes are not in the file. Known are those of the models that bitnet.cpp comes with settings for, by shape.
//
// Left out are shapes for which its settings and its set-up program disagree: TL1 of Llama3-8B-1.58 (tile rows of 32 or 64).
#pragma once

#include <cstddef>
#include <cstring>

#include "formats/format.h"

namespace bitnet {

struct TlPreset {
  size_t rows, columns;
  size_t tile_rows, tile_columns;  // BM, BK
  size_t inner_rows;               // bm; TL2: always 32
};

constexpr TlPreset kTl1Presets[] = {
    // bitnet_b1_58-large
    {1536, 4096, 256, 128, 32},
    {1536, 1536, 128, 64, 64},
    {4096, 1536, 256, 128, 32},
    // bitnet_b1_58-3B
    {3200, 8640, 160, 64, 32},
    {3200, 3200, 320, 128, 64},
    {8640, 3200, 320, 64, 32},
};

constexpr TlPreset kTl2Presets[] = {
    // bitnet_b1_58-large
    {1536, 4096, 256, 96, 32},
    {1536, 1536, 128, 192, 32},
    {4096, 1536, 256, 96, 32},
    // bitnet_b1_58-3B
    {3200, 8640, 160, 96, 32},
    {3200, 3200, 320, 96, 32},
    {8640, 3200, 320, 96, 32},
    // Llama3-8B-1.58-100B-tokens
    {14336, 4096, 256, 96, 32},
    {4096, 14336, 128, 96, 32},
    {1024, 4096, 256, 96, 32},
    {4096, 4096, 128, 96, 32},
};

// What TL1 and TL2 share: `Presets`, the tile sizes by shape, and `ScaleAt`, the byte at which the scale stands.
template <const auto& Presets, size_t (*ScaleAt)(size_t rows, size_t columns)>
struct TlFile {
  // Null for shapes that have no preset.
  static const TlPreset* find(size_t rows, size_t columns) {
    for (const TlPreset& p : Presets) {
      if (p.rows == rows && p.columns == columns) return &p;
    }
    return nullptr;
  }

  // 32 bytes of a scale and padding stand behind the codes.
  static size_t bytes(size_t rows, size_t columns) { return find(rows, columns) ? ScaleAt(rows, columns) + 32 : 0; }

  static float scale(const uint8_t* data, size_t rows, size_t columns) {
    float s;
    std::memcpy(&s, data + ScaleAt(rows, columns), 4);
    return s;
  }

  static constexpr Format format(const char* name, decltype(Format::unpack_codes) unpack_codes) {
    Format f{name, bytes, unpack_codes, scale, kNoDense};
    f.tiled = true;
    return f;
  }
};

}  // namespace bitnet
