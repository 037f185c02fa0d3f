// text/jinja/loop.h - the `loop` variable and macros as values: what outlives a statement.
#pragma once
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// Variables of one block; a name is looked up here, then in the parents.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<NameId, Value>> variables;
};

struct Macro {
  const MacroDef* def;
  Scope* scope;  // where it was defined
};

// Items are taken lazily, since the loop's filter may depend on what its body does.
struct Loop {
  std::vector<Value> source;
  size_t next_source = 0;
  // Whether the loop's `if` lets an item through; empty without one, and once the loop is over.
  std::function<bool(const Value&)> filter;
  bool over = false;

  int64_t index0 = -1;
  bool has_before = false;
  Value before;
  Value current;
  std::deque<Value> after;  // items looked at ahead of time, next one first
  bool changed_once = false;
  std::vector<Value> changed;

  const Stmt* statement = nullptr;  // to recurse into; null where not `recursive`
  Scope* scope = nullptr;           // around the loop
  size_t depth0 = 0;
};

// Moves on; false at the end.
bool advance(Runtime& rt, Loop& loop);
// loop.index and so on; null value and false where there is no such attribute.
bool loop_attribute(Runtime& rt, const Value& loop, std::string_view name, Value& value);

}  // namespace maru::text::jinja
