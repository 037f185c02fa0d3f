#include "text/jinja/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/convert.h"

namespace maru::text::jinja {
namespace {

constexpr std::string_view kMutating[] = {"append",  "clear",      "extend",  "insert",
                                          "pop",     "remove",     "reverse", "sort",
                                          "popitem", "setdefault", "update"};
constexpr std::string_view kListOnly[] = {"append", "extend",  "insert",
                                          "remove", "reverse", "sort"};
constexpr std::string_view kDictOnly[] = {"popitem", "setdefault", "update"};

bool mutates(Kind kind, std::string_view name) {
  if (std::ranges::find(kMutating, name) == std::end(kMutating)) return false;
  if (kind == Kind::kList) return std::ranges::find(kDictOnly, name) == std::end(kDictOnly);
  return kind == Kind::kDict && std::ranges::find(kListOnly, name) == std::end(kListOnly);
}

Value dict_view(Runtime& rt, const Value& self, ViewKind kind) {
  List* list = rt.new_list(self.dict->items.size());
  list->view_kind = kind;
  for (const auto& [key, value] : self.dict->items) {
    if (!rt.step()) return {};
    rt.add(list, kind == ViewKind::kKeys     ? key
                 : kind == ViewKind::kValues ? value
                                             : rt.pair(key, value));
  }
  return Value::of(Kind::kView, list);
}

Value dict_get(Runtime& rt, const Value& self, Args& args) {
  Value slots[2];
  slots[1] = Value::none();
  if (!bind(rt, "get", args, {"key", "default"}, 1, slots)) return {};
  const Value* found = find(rt, *self.dict, slots[0]);
  return found != nullptr ? *found : slots[1];
}
Value dict_keys(Runtime& rt, const Value& self, Args&) {
  return dict_view(rt, self, ViewKind::kKeys);
}
Value dict_values(Runtime& rt, const Value& self, Args&) {
  return dict_view(rt, self, ViewKind::kValues);
}
Value dict_items(Runtime& rt, const Value& self, Args&) {
  return dict_view(rt, self, ViewKind::kItems);
}
Value copy(Runtime& rt, const Value& self, Args&) {
  if (self.is_dict()) {
    Dict* dict = rt.new_dict();
    if (!rt.charge_memory(self.dict->items.size() * 2 * sizeof(Value))) return {};
    dict->items = self.dict->items;
    return Value::of(dict);
  }
  return rt.list(self.kind, self.list->items);
}

Value list_index(Runtime& rt, const Value& self, Args& args) {
  Value wanted;
  if (!bind(rt, "index", args, {"value"}, 1, &wanted)) return {};
  for (size_t i = 0; i < self.list->items.size() && rt.step(); ++i) {
    if (equals(rt, self.list->items[i], wanted)) return Value::integer(static_cast<int64_t>(i));
  }
  return rt.fail("the value is not in the list");
}

Value list_count(Runtime& rt, const Value& self, Args& args) {
  Value wanted;
  if (!bind(rt, "count", args, {"value"}, 1, &wanted)) return {};
  int64_t n = 0;
  for (size_t i = 0; i < self.list->items.size() && rt.step(); ++i) {
    n += equals(rt, self.list->items[i], wanted) ? 1 : 0;
  }
  return Value::integer(n);
}

Value is_integer(Runtime&, const Value& self, Args&) {
  return Value::boolean(std::isfinite(self.f) && self.f == std::floor(self.f));
}

NativeFn find_other_method(const Value& object, std::string_view name) {
  if (object.is_dict()) {
    if (name == "get") return dict_get;
    if (name == "items") return dict_items;
    if (name == "keys") return dict_keys;
    if (name == "values") return dict_values;
    if (name == "copy") return copy;
    return nullptr;
  }
  if (object.is(Kind::kList) || object.is(Kind::kTuple)) {
    if (name == "index") return list_index;
    if (name == "count") return list_count;
    if (name == "copy" && object.is(Kind::kList)) return copy;
  }
  if (object.is(Kind::kFloat) && name == "is_integer") return is_integer;
  return nullptr;
}

}  // namespace

bool find_method(Runtime& rt, const Value& object, std::string_view name, Value& method) {
  if (mutates(object.kind, name)) {
    method = rt.undefined_unsafe(object, name);
    return true;
  }
  const NativeFn fn = object.is_string() ? find_str_method(name) : find_other_method(object, name);
  if (fn == nullptr) return false;
  method = rt.callable({name, fn, object});
  return true;
}

}  // namespace maru::text::jinja
