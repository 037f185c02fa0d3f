// grammar/formats.h - the `format`s of JSON Schema that are enforced, as terms.
//
// Any other format is an annotation, as the specification has it for formats that a validator does
// not know: it says nothing about which texts are valid.
// Threads: free functions.
#pragma once
#include <optional>
#include <string_view>

#include "grammar/terms.h"

namespace maru::grammar {

std::optional<TermId> format_term(Terms& terms, std::string_view name);

}  // namespace maru::grammar
