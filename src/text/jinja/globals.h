// text/jinja/globals.h - functions every template can call: range, namespace, dict, cycler,
// joiner, raise_exception, strftime_now.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

struct GlobalDef {
  std::string_view name;
  NativeFn fn;
};
const std::vector<GlobalDef>& globals();

// strftime() in the C locale, in UTC. Errors: fails the render for a result without bound.
std::string format_time(int64_t unix_seconds, std::string_view format);

// Attributes of cyclers, joiners and namespaces live here too.
bool object_attribute(Runtime& rt, const Value& object, std::string_view name, Value& value);

}  // namespace maru::text::jinja
