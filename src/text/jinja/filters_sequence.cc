// text/jinja/filters_sequence.cc - filters that take or make sequences and mappings.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/tests.h"

namespace maru::text::jinja {
namespace {

Value generator(Runtime& rt, std::vector<Value> items) {
  return rt.list(Kind::kGenerator, std::move(items));
}

// What comparisons without case look at.
Value folded(Runtime& rt, const Value& v, bool case_sensitive) {
  return v.is_string() && !case_sensitive ? str_case(rt, v, Case::kLower) : v;
}

Value default_value(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  slots[0] = Value::string({nullptr, 0, 0});
  if (!bind(rt, "default", args, {"default_value", "boolean"}, 0, slots)) return {};
  return v.is_undefined() || (truthy(slots[1]) && !truthy(v)) ? slots[0] : v;
}

Value join(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  slots[0] = Value::string({nullptr, 0, 0});
  if (!bind(rt, "join", args, {"d", "attribute"}, 0, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  if (!slots[1].is_undefined() && !slots[1].is_none()) {
    for (Value& item : items) item = follow_path(rt, item, slots[1]);
  }
  return str_join(rt, Value::string(to_str(rt, slots[0])), items);
}

Value first(Runtime& rt, const Value& v, Args&) {
  if (v.is(Kind::kGenerator)) {
    List& list = *v.list;
    return list.next < list.items.size() ? list.items[list.next++]
                                         : rt.undefined_text("No first item, sequence was empty.");
  }
  if (v.has_items()) {
    return v.list->items.empty() ? rt.undefined_text("No first item, sequence was empty.")
                                 : v.list->items.front();
  }
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  return items.empty() ? rt.undefined_text("No first item, sequence was empty.") : items.front();
}

Value last(Runtime& rt, const Value& v, Args&) {
  if (v.is(Kind::kGenerator)) return rt.fail("'generator' object is not reversible");
  if (v.has_items()) {
    return v.list->items.empty() ? rt.undefined_text("No last item, sequence was empty.")
                                 : v.list->items.back();
  }
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  return items.empty() ? rt.undefined_text("No last item, sequence was empty.") : items.back();
}

Value items_of(Runtime& rt, const Value& v, Args&) {
  if (v.is_undefined()) return generator(rt, {});
  if (!v.is_dict()) return rt.fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  for (const auto& [key, value] : v.dict->items) {
    if (!rt.step()) return {};
    pairs.push_back(rt.pair(key, value));
  }
  return generator(rt, std::move(pairs));
}

// Items in the order of their keys.
std::vector<Value> sorted(Runtime& rt, const std::vector<Value>& items,
                          const std::vector<Value>& keys, bool reverse) {
  std::vector<Value> out;
  if (!rt.charge_memory(items.size() * sizeof(Value))) return out;
  out.reserve(items.size());
  for (const size_t i : sorted_order(rt, keys, reverse)) out.push_back(items[i]);
  return out;
}

Value dictsort(Runtime& rt, const Value& v, Args& args) {
  Value slots[3];
  if (!bind(rt, "dictsort", args, {"case_sensitive", "by", "reverse"}, 0, slots)) return {};
  if (v.is_undefined()) return rt.fail_undefined(v);
  if (!v.is_dict())
    return rt.fail(fmt::format("'{}' object has no attribute 'items'", type_name(v)));
  const std::string_view by = slots[1].is_string() ? slots[1].text() : "key";
  if (by != "key" && by != "value") {
    return rt.fail("You can only sort by either \"key\" or \"value\"");
  }
  std::vector<Value> pairs;
  std::vector<Value> keys;
  for (const auto& [key, value] : v.dict->items) {
    pairs.push_back(rt.pair(key, value));
    keys.push_back(folded(rt, by == "key" ? key : value, truthy(slots[0])));
    if (!rt.step()) return {};
  }
  return rt.list(Kind::kList, sorted(rt, pairs, keys, truthy(slots[2])));
}

// Keys of items by an `attribute` argument, which may name several separated by commas.
std::vector<Value> keys_by(Runtime& rt, const std::vector<Value>& items, const Value& attribute,
                           bool case_sensitive, const Value* fallback = nullptr) {
  std::vector<Value> keys(items.size());
  if (!rt.charge_memory(items.size() * sizeof(Value))) return keys;
  for (size_t i = 0; i < items.size() && rt.step(); ++i) {
    const Value key =
        attribute.is_undefined() ? items[i] : follow_path(rt, items[i], attribute, fallback);
    keys[i] = folded(rt, key, case_sensitive);
  }
  return keys;
}

Value sort(Runtime& rt, const Value& v, Args& args) {
  Value slots[3];
  if (!bind(rt, "sort", args, {"reverse", "case_sensitive", "attribute"}, 0, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  const Value& attribute = slots[2];
  if (!attribute.is_string()) {
    return rt.list(Kind::kList, sorted(rt, items, keys_by(rt, items, attribute, truthy(slots[1])),
                                       truthy(slots[0])));
  }
  std::vector<Value> keys(items.size());
  for (size_t i = 0; i < items.size(); ++i) keys[i] = Value::of(Kind::kTuple, rt.new_list());
  for (size_t begin = 0; begin <= attribute.s.len && rt.step();) {
    const size_t end = std::min(attribute.text().find(',', begin), size_t{attribute.s.len});
    const Value part = Value::string(attribute.s.sub(begin, end - begin));
    const std::vector<Value> some = keys_by(rt, items, part, truthy(slots[1]));
    for (size_t i = 0; i < items.size(); ++i) rt.add(keys[i].list, some[i]);
    begin = end + 1;
  }
  return rt.list(Kind::kList, sorted(rt, items, keys, truthy(slots[0])));
}

Value extreme(Runtime& rt, const Value& v, Args& args, bool wants_max) {
  Value slots[2];
  if (!bind(rt, wants_max ? "max" : "min", args, {"case_sensitive", "attribute"}, 0, slots)) {
    return {};
  }
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  if (items.empty()) return rt.undefined_text("No aggregated item, sequence was empty.");
  const std::vector<Value> keys = keys_by(rt, items, slots[1], truthy(slots[0]));
  size_t best = 0;
  for (size_t i = 1; i < items.size() && !rt.failed(); ++i) {
    if (wants_max ? less(rt, keys[best], keys[i]) : less(rt, keys[i], keys[best])) best = i;
  }
  return items[best];
}

Value unique(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  if (!bind(rt, "unique", args, {"case_sensitive", "attribute"}, 0, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  const std::vector<Value> keys = keys_by(rt, items, slots[1], truthy(slots[0]));
  Dict seen;
  std::vector<Value> out;
  for (size_t i = 0; i < items.size() && !rt.failed(); ++i) {
    if (find(rt, seen, keys[i]) != nullptr) continue;
    set(rt, seen, keys[i], Value::none());
    out.push_back(items[i]);
  }
  return generator(rt, std::move(out));
}

Value groupby(Runtime& rt, const Value& v, Args& args) {
  Value slots[3];
  if (!bind(rt, "groupby", args, {"attribute", "default", "case_sensitive"}, 1, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  items = sorted(rt, items, keys_by(rt, items, slots[0], truthy(slots[2]), &slots[1]), false);
  const std::vector<Value> keys = keys_by(rt, items, slots[0], truthy(slots[2]), &slots[1]);
  const std::vector<Value> names = keys_by(rt, items, slots[0], true, &slots[1]);
  List* groups = rt.new_list();
  for (size_t i = 0; i < items.size() && !rt.failed();) {
    List* group = rt.new_list();
    const size_t begin = i;
    for (; i < items.size() && rt.step() && equals(rt, keys[i], keys[begin]); ++i) {
      rt.add(group, items[i]);
    }
    rt.add(groups, rt.pair(names[begin], Value::of(Kind::kList, group)));
  }
  return Value::of(Kind::kList, groups);
}

Value sum(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  slots[1] = Value::integer(0, Origin::kLiteral);
  if (!bind(rt, "sum", args, {"attribute", "start"}, 0, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  Value total = slots[1];
  for (const Value& item : items) {
    if (!rt.step()) return {};
    total =
        math(rt, Op::kAdd, total, slots[0].is_undefined() ? item : follow_path(rt, item, slots[0]));
  }
  return total;
}

Value reverse(Runtime& rt, const Value& v, Args&) {
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  std::reverse(items.begin(), items.end());
  if (v.is_string()) return str_join(rt, Value::string({nullptr, 0, 0}), items);
  return generator(rt, std::move(items));
}

Value batch(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  if (!bind(rt, "batch", args, {"linecount", "fill_with"}, 1, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  const auto n = static_cast<size_t>(
      std::clamp<int64_t>(slots[0].is_integral() ? slots[0].as_int() : 1, 1, kRangeMax));
  std::vector<Value> rows;
  for (size_t i = 0; i < items.size() && rt.step(); i += n) {
    List* row = rt.new_list();
    for (size_t k = i; k < std::min(i + n, items.size()); ++k) rt.add(row, items[k]);
    const bool fills = !slots[1].is_undefined() && !slots[1].is_none();
    while (fills && row->items.size() < n && rt.step()) rt.add(row, slots[1]);
    rows.push_back(Value::of(Kind::kList, row));
  }
  return generator(rt, std::move(rows));
}

Value slice(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  if (!bind(rt, "slice", args, {"slices", "fill_with"}, 1, slots)) return {};
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  const int64_t wanted = slots[0].is_integral() ? slots[0].as_int() : 0;
  if (wanted == 0) return rt.fail("integer division or modulo by zero");
  std::vector<Value> columns;
  const auto n = static_cast<size_t>(std::clamp<int64_t>(wanted, 0, kRangeMax));
  for (size_t i = 0, at = 0; i < n && rt.step(); ++i) {
    const bool extra = i < items.size() % n;
    List* column = rt.new_list();
    for (size_t k = 0; k < items.size() / n + (extra ? 1 : 0); ++k) rt.add(column, items[at++]);
    if (!extra && !slots[1].is_undefined() && !slots[1].is_none()) rt.add(column, slots[1]);
    columns.push_back(Value::of(Kind::kList, column));
  }
  return generator(rt, std::move(columns));
}

Value take_named(Args& args, std::string_view name) {
  for (auto it = args.named.begin(); it != args.named.end(); ++it) {
    if (it->first != name) continue;
    const Value v = it->second;
    args.named.erase(it);
    return v;
  }
  return {};
}

Value map(Runtime& rt, const Value& v, Args& args) {
  if (!truthy(v)) return generator(rt, {});
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  if (args.positional.empty()) {
    const Value attribute = take_named(args, "attribute");
    const Value fallback = take_named(args, "default");
    if (attribute.is_undefined()) return rt.fail("map requires a filter argument");
    for (Value& item : items) {
      if (!rt.step()) return {};
      item = follow_path(rt, item, attribute, &fallback);
    }
    return generator(rt, std::move(items));
  }
  const Value name = args.positional[0];
  const FilterDef* filter = name.is_string() ? find_filter(name.text()) : nullptr;
  if (filter == nullptr) {
    return rt.fail(fmt::format("No filter named '{}'.", to_str(rt, name).view()));
  }
  args.positional.erase(args.positional.begin());
  const size_t n_args = args.positional.size() + args.named.size();
  for (Value& item : items) {
    if (!rt.step(1 + n_args / kEntriesPerStep)) return {};
    Args own = args;
    item = filter->fn(rt, item, own);
  }
  return generator(rt, std::move(items));
}

Value choose(Runtime& rt, const Value& v, Args& args, bool by_attribute, bool keeps) {
  if (!truthy(v)) return generator(rt, {});
  std::vector<Value> items;
  if (!iterate(rt, v, items)) return {};
  Value attribute;
  size_t used = 0;
  if (by_attribute) {
    if (args.positional.empty()) return rt.fail("Missing parameter for attribute name");
    attribute = args.positional[used++];
  }
  const TestDef* test = nullptr;
  if (used < args.positional.size()) {
    const Value name = args.positional[used++];
    test = name.is_string() ? find_test(name.text()) : nullptr;
    if (test == nullptr) {
      return rt.fail(fmt::format("No test named '{}'.", to_str(rt, name).view()));
    }
  }
  args.positional.erase(args.positional.begin(),
                        args.positional.begin() + static_cast<ptrdiff_t>(used));
  const size_t n_args = args.positional.size() + args.named.size();
  std::vector<Value> out;
  for (const Value& item : items) {
    const Value tested = by_attribute ? follow_path(rt, item, attribute) : item;
    if (!rt.step(1 + n_args / kEntriesPerStep)) return {};
    Args own = args;
    if ((test != nullptr ? test->fn(rt, tested, own) : truthy(tested)) == keeps) {
      out.push_back(item);
    }
  }
  return generator(rt, std::move(out));
}

Value attr(Runtime& rt, const Value& v, Args& args) {
  Value name;
  if (!bind(rt, "attr", args, {"name"}, 1, &name)) return {};
  if (v.is_undefined()) return rt.fail_undefined(v);
  const Value key = Value::string(to_str(rt, name));
  if (v.is_dict()) {
    Value method;
    return find_method(rt, v, key.text(), method) ? method : rt.undefined_attribute(v, key.text());
  }
  return get_attribute(rt, v, key.text());
}

Value length_of(Runtime& rt, const Value& v, Args&) { return Value::integer(length(rt, v)); }

constexpr FilterDef kFilters[] = {
    {"default", default_value},
    {"d", default_value},
    {"join", join},
    {"first", first},
    {"last", last},
    {"items", items_of},
    {"dictsort", dictsort},
    {"sort", sort},
    {"unique", unique},
    {"groupby", groupby},
    {"sum", sum},
    {"reverse", reverse},
    {"batch", batch},
    {"slice", slice},
    {"map", map},
    {"attr", attr},
    {"length", length_of},
    {"count", length_of},
    {"min", [](Runtime& rt, const Value& v, Args& args) { return extreme(rt, v, args, false); }},
    {"max", [](Runtime& rt, const Value& v, Args& args) { return extreme(rt, v, args, true); }},
    {"select", [](Runtime& rt, const Value& v, Args& a) { return choose(rt, v, a, false, true); }},
    {"reject", [](Runtime& rt, const Value& v, Args& a) { return choose(rt, v, a, false, false); }},
    {"selectattr",
     [](Runtime& rt, const Value& v, Args& a) { return choose(rt, v, a, true, true); }},
    {"rejectattr",
     [](Runtime& rt, const Value& v, Args& a) { return choose(rt, v, a, true, false); }},
    {"list",
     [](Runtime& rt, const Value& v, Args&) {
       std::vector<Value> items;
       return iterate(rt, v, items) ? rt.list(Kind::kList, std::move(items)) : Value{};
     }},
};

}  // namespace

const FilterDef* find_sequence_filter(std::string_view name) {
  for (const FilterDef& def : kFilters) {
    if (def.name == name) return &def;
  }
  return nullptr;
}

const FilterDef* find_filter(std::string_view name) {
  const FilterDef* filter = find_text_filter(name);
  return filter != nullptr ? filter : find_sequence_filter(name);
}

}  // namespace maru::text::jinja
