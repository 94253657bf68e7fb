// Four independent TDPBSUD a round, as the product has them: 16 cycles each hide the latency.
#include "kernels/dot_peak.h"

#include "kernels/amx/tiles.h"

namespace bitnet {
namespace {

int32_t run(size_t rounds, int32_t seed) {
  alignas(64) int32_t memory[256];
  for (int i = 0; i < 256; i++) memory[i] = seed;
  configure_tiles(16, 16);
  settle_memory();
  _tile_loadd(4, memory, 64);
  _tile_loadd(5, memory, 64);
  _tile_loadd(6, memory, 64);
  _tile_loadd(7, memory, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t round = 0; round < rounds; round++) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_stored(0, memory, 64);
  _tile_release();
  return memory[0];
}

}  // namespace

extern const DotPeak kAmxDotPeak = {"amx-int8", kAmxLevel, run, 4 * 16 * 16 * 64};

}  // namespace bitnet
