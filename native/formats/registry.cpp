#include "error.h"
#include "formats/format.h"

namespace bitnet {

const std::vector<const Format*>& all_formats() {
  static const std::vector<const Format*> formats = {
      &kFormatF32, &kFormatF16, &kFormatBf16, &kFormatQ8_0, &kFormatQ6_K, &kFormatQ4_K,
      &kFormatI2S, &kFormatTl1, &kFormatTl2,
      &kFormatHfPackedU8, &kFormatF32Master, &kFormatF16Master, &kFormatBf16Master,
      &kFormatF32Unpacked, &kFormatF16Unpacked, &kFormatBf16Unpacked,
      &kFormatTq1_0, &kFormatTq2_0, &kFormatPtq1_0, &kFormatPq2_0, &kFormatIq1Bn, &kFormatIq2Bn, &kFormatT5,
      &kFormatQ1_0, &kFormatQ2_0G64, &kFormatQ2_0G128, &kFormatQ4_0,
      &kFormatGptq2, &kFormatGptq3, &kFormatGptq4,
  };
  return formats;
}

const Format& find_format(const std::string& name, const std::string& tensor) {
  std::string known;
  for (const auto* format : all_formats()) {
    if (name == format->name) return *format;
    known += (known.empty() ? "" : ", ") + std::string(format->name);
  }
  throw Error(kUnsupportedModel, "Tensor \"" + tensor + "\" is stored as " + name +
                                     ", which this build does not read (it reads " + known +
                                     "). Convert the model to one of these.");
}

}  // namespace bitnet
