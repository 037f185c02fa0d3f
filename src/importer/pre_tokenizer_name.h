// importer/pre_tokenizer_name.h - the name by which GGUF files call a model's way to cut a text
// into words, from the regular expressions of its tokenizer.json.
//
// Threads: pure functions.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace maru::importer {

// Errors: kUnsupported for a pre-tokenizer that nobody knows: says what it is and how to name one.
Result<std::string_view> pre_tokenizer_name(const Json& tokenizer);

}  // namespace maru::importer
