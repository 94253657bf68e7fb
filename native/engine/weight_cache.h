// A model's weights as the pieces of a packed file (packed_file.h): what loading stores, and finds again.
//
// Piece 0 is a list of words: what the scans of the source found (is a matrix scaled by group? the scale of master
// weights), and a fingerprint of the plan. Then come the views of the region of weights in its order (the matrices in the
// kernel's layout, layer by layer, and the planes of the head's sketch), then the sketch's vectors. Norms, biases and
// scales are read from the source, where they are small.
#pragma once

#include <functional>

#include "engine/model.h"
#include "engine/packed_file.h"

namespace bitnet {

// What packing depends on besides the spec: the layouts, told from packed samples, so that a change of a layout makes old
// files stale without anybody's doing; and samples of the source's bytes.
std::string layout_fingerprint(const TernaryKernel& kernel, const FloatOps& ops);
uint64_t source_fingerprint(const ModelSpec& spec, const std::vector<MappedFile>& files);

// `plan`: ModelLoader::plan_fingerprint() of what is stored.
std::vector<uint64_t> cache_words(const ModelSpec& spec, uint64_t plan);
// Takes the words over into the spec. False where they do not fit it.
bool read_cache_words(const uint8_t* data, size_t bytes, ModelSpec& spec, uint64_t& plan);

// Calls `use` with the vectors of a sketch's planes, in the file's order.
void each_sketch_vector(HeadSketch& sketch, const std::function<void(std::vector<float>&)>& use);

}  // namespace bitnet
