// Helpers for files that are compiled for one instruction set.
//
// Such a file must not emit any function that another file could be linked against: the linker keeps one copy of a weak
// (template or inline) function, and if that copy was compiled for AVX-512 it would run on every CPU. So everything here
// and in the kernels is force-inlined or lives in an anonymous namespace, and standard library templates are avoided.
#pragma once

#include <math.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

#if defined(_MSC_VER)
#define BITNET_INLINE __forceinline
#define BITNET_NOINLINE __declspec(noinline)
#define BITNET_INLINE_LAMBDA
#define BITNET_RESTRICT __restrict
#else
#define BITNET_INLINE inline __attribute__((always_inline))
#define BITNET_NOINLINE __attribute__((noinline))
#define BITNET_INLINE_LAMBDA __attribute__((always_inline))
#define BITNET_RESTRICT __restrict__
#endif

namespace bitnet {
namespace {

// C's functions and macros rather than std:: templates, which would be weak symbols; GCC and Clang make one instruction of
// each.
constexpr float kInfinity = INFINITY;

BITNET_INLINE constexpr size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
BITNET_INLINE constexpr size_t larger(size_t a, size_t b) { return a < b ? b : a; }

BITNET_INLINE float square_root(float x) { return sqrtf(x); }

BITNET_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float f = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // subnormal: mantissa * 2^-24, exact
    return sign ? -f : f;
  }
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

BITNET_INLINE uint16_t load_u16(const uint8_t* p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}

BITNET_INLINE int32_t load_four_bytes(const void* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Position of the lowest set bit; bits must not be 0.
BITNET_INLINE int lowest_bit(uint32_t bits) {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long position;
  _BitScanForward(&position, bits);
  return static_cast<int>(position);
#else
  return __builtin_ctz(bits);
#endif
}

template <class F, int... I>
BITNET_INLINE void unroll_sequence(F& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}

// Calls f(integral_constant 0) ... f(integral_constant N - 1) as straight-line code, so that arrays indexed by the
// constant stay in registers (g++ unrolls pragma loops too late for that).
template <int N, class F>
BITNET_INLINE void unroll(F&& f) {
  unroll_sequence(f, std::make_integer_sequence<int, N>{});
}

// g++ 12 schedules loads so far ahead that accumulators no longer fit in the registers; it doesn't move them across this.
BITNET_INLINE void no_loads_ahead() {
#if defined(__GNUC__) && !defined(__clang__)
  __asm__ volatile("" ::: "memory");
#endif
}

}  // namespace
}  // namespace bitnet
