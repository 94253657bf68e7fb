#include "kernels/scalar/float_vector.h"
#include "kernels/dense.inl"
