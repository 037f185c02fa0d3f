// model/pooling.h - from the vectors of a text's tokens to one vector for the text.
//
// Used by engine/ after an EmbeddingModel has run. Threads: free functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "gguf/metadata.h"

namespace maru::model {

// How a model makes one vector of many. The values are those of <architecture>.pooling_type.
enum class Pooling : uint8_t {
  kNone = 0,  // the model was not made for embeddings
  kMean = 1,
  kCls = 2,   // the first token
  kLast = 3,  // the last token
  kRank = 4,  // no vector: a score of the first token's (rank_head.h)
};

// "mean", "cls", "last", "rank"; empty for none.
std::string_view pooling_name(Pooling pooling);
// The other way; nothing for an unknown name, and for "rank", which only a model can say.
std::optional<Pooling> pooling_from_name(std::string_view name);

// Errors: kUnsupported for another number; kCorrupt.
Result<Pooling> read_pooling(const gguf::Metadata& metadata, std::string_view architecture);

// Shapes: rows [n_rows, d], out [d]. Sums run over the rows in order, in double.
// Requires: pooling is neither kNone nor kRank; n_rows >= 1.
void pool_rows(Pooling pooling, std::span<const float> rows, std::span<float> out);

// Divides a vector by its length; zeros stay zeros.
void normalize(std::span<float> vector);

}  // namespace maru::model
