// Every kernel of this binary: one declaration here and one line in registry.cpp.
#pragma once

#include "kernels/kernel.h"

namespace bitnet {

extern const TernaryKernel kScalarI2s;
extern const TernaryKernel kAvx2I2s;
extern const TernaryKernel kAvxVnniI2s;
extern const TernaryKernel kAvx512VnniI2s;
extern const TernaryKernel kNeonI2s;
extern const TernaryKernel kNeonDotprodI2s;
extern const TernaryKernel kNeonI8mmI2s;

extern const TernaryKernel kScalarT5;
extern const TernaryKernel kAvx2T5;
extern const TernaryKernel kAvxVnniT5;
extern const TernaryKernel kAvx512VbmiT5;
extern const TernaryKernel kNeonT5;
extern const TernaryKernel kNeonDotprodT5;
extern const TernaryKernel kNeonI8mmT5;

}  // namespace bitnet
