// model/load_vocab.h - the vocabulary of a GGUF file as plain data for text::Tokenizer.
//
// Called by engine/ when a model is loaded, and by `maru tokenize`, for which a file with nothing
// but a vocabulary is enough, whatever its architecture says. Knows the keys "tokenizer.ggml.*".
// Source: the GGUF specification, section on the tokenizer; defaults as the files' writers assume
// them.
// Threads: free function.
#pragma once
#include "base/result.h"
#include "gguf/metadata.h"
#include "text/vocab.h"

namespace maru::model {

// Ids of special tokens are in range afterwards.
// Errors: kCorrupt for missing keys, ids out of range, arrays of unequal length; kUnsupported names
// an unknown tokenizer model.
Result<text::Vocab> load_vocab(const gguf::Metadata& metadata);

}  // namespace maru::model
