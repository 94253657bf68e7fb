#include "engine/exact_math.h"

#include <cmath>

namespace bitnet {
namespace {

constexpr double kLn2High = 6.93147180369123816490e-01;  // 32 bits, so that n * kLn2High is exact
constexpr double kLn2Low = 1.90821492927058770002e-10;

// Nearest integer, half to even: exact for |x| < 2^51.
double nearest(double x) {
  const double magic = 6755399441055744.0;
  const volatile double shifted = x + magic;
  return shifted - magic;
}

}  // namespace

double exact_exp(double x) {
  const double n = nearest(x * 1.4426950408889634074);
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  double p = 1.0;  // Taylor series by Horner: |r| <= 0.35, 0.35^18 / 18! < 1e-24
  for (int k = 18; k >= 1; k--) p = std::fma(p, r / k, 1.0);
  return std::ldexp(p, static_cast<int>(n));
}

double exact_log(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752440) {
    m *= 2;
    exponent--;
  }
  const double s = (m - 1) / (m + 1), z = s * s;  // log m = 2 atanh s, |s| <= 0.1716
  double p = 0;
  for (int k = 27; k >= 1; k -= 2) p = std::fma(p, z, 1.0 / k);
  return std::fma(exponent, kLn2High, std::fma(exponent, kLn2Low, 2 * s * p));
}

void exact_sin_cos(double x, double* sine, double* cosine) {
  // Cody and Waite: pi / 2 in three parts of 33, 33 and 53 bits; k * part is exact for |k| < 2^20.
  const double k = nearest(x * 0.63661977236758134308);
  double r = std::fma(-k, 1.57079632673412561417e+00, x);
  r = std::fma(-k, 6.07710050630396597660e-11, r);
  r = std::fma(-k, 2.02226624879595063154e-21, r);
  const double z = r * r;
  double s = 0, c = 0;  // Taylor series on |r| <= pi / 4
  for (int i = 10; i >= 1; i--) s = (s + 1) * (-z / ((2 * i) * (2 * i + 1)));
  for (int i = 10; i >= 1; i--) c = (c + 1) * (-z / ((2 * i - 1) * (2 * i)));
  s = std::fma(s, r, r);
  c = c + 1;
  const long long quadrant = static_cast<long long>(k) & 3;
  const double sines[] = {s, c, -s, -c}, cosines[] = {c, -s, -c, s};
  *sine = sines[quadrant];
  *cosine = cosines[quadrant];
}

}  // namespace bitnet
