// text/jinja/format.h - "%s" % x and "{}".format(x).
//
// Source: Python 3 library reference, "printf-style String Formatting" and "Format String Syntax".
#pragma once
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// `args` is a tuple, a dictionary or one value.
Value percent_format(Runtime& rt, const Str& format, const Value& args);
Value brace_format(Runtime& rt, const Str& format, const Args& args);
// format(value, spec), the part after ':' in braces.
Str format_value(Runtime& rt, const Value& value, std::string_view spec);

}  // namespace maru::text::jinja
