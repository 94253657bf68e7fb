#include "kernels/neon/float_vector.h"
#include "kernels/attention.inl"
