// text/jinja/filters.h - Jinja's built-in filters by name, and transformers' tojson.
//
// filters_text.cc has those that make text, filters_sequence.cc those that make lists.
#pragma once
#include <string_view>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

struct FilterDef {
  std::string_view name;
  NativeFn fn;  // self is the value to the left of the bar
};

// Null where there is no such filter.
const FilterDef* find_filter(std::string_view name);
const FilterDef* find_text_filter(std::string_view name);
const FilterDef* find_sequence_filter(std::string_view name);

}  // namespace maru::text::jinja
