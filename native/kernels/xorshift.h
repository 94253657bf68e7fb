// Numbers that are the same on every platform, for the cases that kernels are compared on.
#pragma once

#include <cstdint>

namespace bitnet {

// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016), its high half.
struct Random {
  uint64_t state;  // not 0
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1dull) >> 32);
  }
};

}  // namespace bitnet
