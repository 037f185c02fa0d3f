// text/jinja/convert.h - values as text and as truth: str(), repr(), bool(), ==, <, iteration.
//
// Python's rules. All of these walk values that a template can nest as deep as its steps allow, so
// each stops with an error below kTemplateDepthMax levels.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

std::string_view type_name(const Value& v);  // "str", "dict", ...
std::string object_type(const Value& v);     // "str object", or "None"

bool truthy(const Value& v);
bool equals(Runtime& rt, const Value& a, const Value& b, size_t depth = 0);
// a < b. Errors: fails the render where Python has no order for the two.
bool less(Runtime& rt, const Value& a, const Value& b, size_t depth = 0);

// The order in which Python's sorted() puts values with these keys: stable, any outcome of less()
// is safe.
std::vector<size_t> sorted_order(Runtime& rt, const std::vector<Value>& keys, bool reverse);

// str(): strings as they are, undefined as nothing.
Str to_str(Runtime& rt, const Value& v);
void append_str(Runtime& rt, StrBuilder& out, const Value& v);
Str repr(Runtime& rt, const Value& v);
void append_repr(Runtime& rt, StrBuilder& out, const Value& v, size_t depth = 0);
std::string float_repr(double f);

// The value with this key, or null. Errors: fails the render for keys that cannot be hashed.
const Value* find(Runtime& rt, const Dict& dict, const Value& key);
const Value* find(Runtime& rt, const Dict& dict, std::string_view key);
void set(Runtime& rt, Dict& dict, const Value& key, const Value& value);

// Charges for counting characters, which takes longer where they are not ASCII.
bool pay_for_chars(Runtime& rt, std::string_view text);

// Where `needle` is in `text`, the first at or after `from` or the last; npos where it is not, and
// where the search is more than the budget allows.
size_t find_text(Runtime& rt, std::string_view text, std::string_view needle, size_t from = 0);
size_t find_last_text(Runtime& rt, std::string_view text, std::string_view needle);

// Whether iter() works on it, and its items: characters of a string, keys of a dictionary.
// Takes what is left of a generator.
bool is_iterable(const Value& v);
bool iterate(Runtime& rt, const Value& v, std::vector<Value>& items);
// a in b.
bool contains(Runtime& rt, const Value& needle, const Value& haystack);
// len(); fails the render for what has none.
int64_t length(Runtime& rt, const Value& v);

}  // namespace maru::text::jinja
