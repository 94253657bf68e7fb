// Every kernel of this binary: one declaration here and one line in registry.cpp.
#pragma once

#include "kernels/kernel.h"

namespace bitnet {

extern const TernaryKernel kScalarI2s;
extern const TernaryKernel kAvx2I2s;
extern const TernaryKernel kAvxVnniI2s;
extern const TernaryKernel kAvx512VnniI2s;
extern const TernaryKernel kAmxI2s;
extern const TernaryKernel kNeonI2s;
extern const TernaryKernel kNeonDotprodI2s;
extern const TernaryKernel kNeonI8mmI2s;

extern const TernaryKernel kScalarT5;
extern const TernaryKernel kAvx2T5;
extern const TernaryKernel kAvxVnniT5;
extern const TernaryKernel kAvx512VbmiT5;
extern const TernaryKernel kAmxT5;
extern const TernaryKernel kNeonT5;
extern const TernaryKernel kNeonDotprodT5;
extern const TernaryKernel kNeonI8mmT5;

extern const TernaryKernel kScalarTl1;
extern const TernaryKernel kAvx2Tl1;
extern const TernaryKernel kAvx512VbmiTl1;
extern const TernaryKernel kNeonTl1;
extern const TernaryKernel kScalarTl2;
extern const TernaryKernel kAvx2Tl2;
extern const TernaryKernel kAvx512VbmiTl2;
extern const TernaryKernel kNeonTl2;
extern const TernaryKernel kScalarTmac2;
extern const TernaryKernel kAvx2Tmac2;
extern const TernaryKernel kAvx512VbmiTmac2;
extern const TernaryKernel kNeonTmac2;

}  // namespace bitnet
