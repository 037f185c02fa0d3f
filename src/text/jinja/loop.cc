#include "text/jinja/loop.h"

#include <fmt/format.h>

#include "text/jinja/convert.h"

namespace maru::text::jinja {
namespace {

// The next item that passes the filter.
bool pull(Runtime& rt, Loop& loop, Value& item) {
  while (!loop.over && loop.next_source < loop.source.size() && rt.step()) {
    item = loop.source[loop.next_source++];
    if (!loop.filter || loop.filter(item)) return !rt.failed();
  }
  return false;
}

bool peek(Runtime& rt, Loop& loop) {
  if (!loop.after.empty()) return true;
  Value item;
  if (!pull(rt, loop, item)) return false;
  loop.after.push_back(item);
  return true;
}

int64_t loop_length(Runtime& rt, Loop& loop) {
  if (!loop.filter) return static_cast<int64_t>(loop.source.size());
  for (Value item; pull(rt, loop, item) && rt.charge_memory(sizeof(Value));) {
    loop.after.push_back(item);
  }
  return loop.index0 + 1 + static_cast<int64_t>(loop.after.size());
}

Value cycle(Runtime& rt, const Value& self, Args& args) {
  if (args.positional.empty()) return rt.fail("no items for cycling given");
  const int64_t index = self.loop->index0 < 0 ? 0 : self.loop->index0;
  return args.positional[static_cast<size_t>(index) % args.positional.size()];
}

Value changed(Runtime& rt, const Value& self, Args& args) {
  Loop& loop = *self.loop;
  bool same = loop.changed_once && loop.changed.size() == args.positional.size();
  for (size_t i = 0; same && i < loop.changed.size(); ++i) {
    same = equals(rt, loop.changed[i], args.positional[i]);
  }
  if (!rt.charge_memory(args.positional.size() * sizeof(Value))) return {};
  loop.changed_once = true;
  loop.changed = args.positional;
  return Value::boolean(!same);
}

}  // namespace

bool advance(Runtime& rt, Loop& loop) {
  Value item;
  if (!loop.after.empty()) {
    item = loop.after.front();
    loop.after.pop_front();
  } else if (!pull(rt, loop, item)) {
    return false;
  }
  loop.has_before = ++loop.index0 > 0;
  loop.before = loop.current;
  loop.current = item;
  return true;
}

bool loop_attribute(Runtime& rt, const Value& self, std::string_view name, Value& value) {
  Loop& loop = *self.loop;
  const auto number = [](int64_t i) { return Value::integer(i, Origin::kLiteral); };
  if (name == "index") {
    value = number(loop.index0 + 1);
  } else if (name == "index0") {
    value = number(loop.index0);
  } else if (name == "first") {
    value = Value::boolean(loop.index0 == 0);
  } else if (name == "last") {
    value = Value::boolean(!peek(rt, loop));
  } else if (name == "length") {
    value = number(loop_length(rt, loop));
  } else if (name == "revindex") {
    value = number(loop_length(rt, loop) - loop.index0);
  } else if (name == "revindex0") {
    value = number(loop_length(rt, loop) - loop.index0 - 1);
  } else if (name == "depth") {
    value = number(static_cast<int64_t>(loop.depth0) + 1);
  } else if (name == "depth0") {
    value = number(static_cast<int64_t>(loop.depth0));
  } else if (name == "previtem") {
    value = loop.has_before ? loop.before : rt.undefined_text("there is no previous item");
  } else if (name == "nextitem") {
    value = peek(rt, loop) ? loop.after.front() : rt.undefined_text("there is no next item");
  } else if (name == "cycle") {
    value = rt.callable({"cycle", cycle, self});
  } else if (name == "changed") {
    value = rt.callable({"changed", changed, self});
  } else {
    return false;
  }
  return true;
}

}  // namespace maru::text::jinja
