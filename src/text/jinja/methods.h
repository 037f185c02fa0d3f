// text/jinja/methods.h - the methods of Python's str, dict, list, tuple and numbers.
#pragma once
#include <string_view>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// The method `name` of the value's type bound to it, or false. Methods that mutate give the
// undefined value of Jinja's sandbox.
bool find_method(Runtime& rt, const Value& object, std::string_view name, Value& method);
NativeFn find_str_method(std::string_view name);

// Shared with the filters of the same meaning.
Value str_strip(Runtime& rt, const Value& text, const Value& chars, bool left, bool right);
Value str_replace(Runtime& rt, const Value& text, const Str& from, const Str& to, int64_t count);
Value str_join(Runtime& rt, const Value& separator, const std::vector<Value>& items);
enum class Case { kUpper, kLower, kTitle, kCapitalize, kSwap };
Value str_case(Runtime& rt, const Value& text, Case to);
std::vector<Str> str_lines(Runtime& rt, const Str& text, bool keep_ends);
Value str_center(Runtime& rt, const Str& text, int64_t width, std::string_view fill);

}  // namespace maru::text::jinja
