// Elementary functions in double precision from +, -, *, / and fma only, so that tables built from them have the same
// bits on every platform and C library. Accurate to about 1e-15, far beyond the floats they are rounded to.
#pragma once

namespace bitnet {

double exact_exp(double x);                                 // |x| <= 700
double exact_log(double x);                                 // x > 0
constexpr double kMostAngle = 1 << 30;
void exact_sin_cos(double x, double* sine, double* cosine);  // |x| < kMostAngle

}  // namespace bitnet
