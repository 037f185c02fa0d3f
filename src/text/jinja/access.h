// text/jinja/access.h - a.b, a[b], a[b:c:d] and arithmetic, as Jinja's sandbox does them.
//
// Attributes that would mutate, and names with a leading underscore, are undefined and an error
// when used.
#pragma once
#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// a.name: a method or attribute, else the item with that key, else undefined.
Value get_attribute(Runtime& rt, const Value& object, std::string_view name);
// a[key]: the item, else (for names) the attribute, else undefined.
Value get_item(Runtime& rt, const Value& object, const Value& key);
// Bounds are undefined where they were left out.
Value get_slice(Runtime& rt, const Value& object, const Value& begin, const Value& end,
                const Value& step);
// Follows "a.b.0" or a number, as filters with an `attribute` argument do.
// Where a part is missing and `fallback` is neither null nor undefined, it stands in.
Value follow_path(Runtime& rt, const Value& object, const Value& path,
                  const Value* fallback = nullptr);

Value math(Runtime& rt, Op op, const Value& a, const Value& b);
Value negate(Runtime& rt, const Value& a);
// a ~ b: both as plain text, even what |safe marked.
Value concat(Runtime& rt, const Value& a, const Value& b);
// What |escape does to a string.
Value escape_html(Runtime& rt, const Value& v);

}  // namespace maru::text::jinja
