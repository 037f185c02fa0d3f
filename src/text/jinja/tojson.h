// text/jinja/tojson.h - the tojson filter: json.dumps as transformers configures it.
#pragma once
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// value|tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False).
// Strings keep their origins; everything written around them is data.
Value tojson(Runtime& rt, const Value& value, Args& args);

}  // namespace maru::text::jinja
