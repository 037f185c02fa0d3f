// text/jinja/tests.h - Jinja's built-in tests by name: what stands after `is`.
#pragma once
#include <string_view>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

struct TestDef {
  std::string_view name;
  bool (*fn)(Runtime& rt, const Value& value, Args& args);
};

// Null where there is no such test.
const TestDef* find_test(std::string_view name);

}  // namespace maru::text::jinja
