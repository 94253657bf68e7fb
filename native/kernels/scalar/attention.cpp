#include "kernels/scalar/float_vector.h"
#include "kernels/attention.inl"
