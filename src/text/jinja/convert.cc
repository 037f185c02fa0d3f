#include "text/jinja/convert.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/utf8.h"

namespace maru::text::jinja {
namespace {

bool too_deep(Runtime& rt, size_t depth) {
  if (depth <= kTemplateDepthMax) return false;
  rt.exhausted(fmt::format("a value is nested deeper than {} levels", kTemplateDepthMax));
  return true;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string escaped_char(char32_t c, char quote) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c == static_cast<unsigned char>(quote)) return {'\\', quote};
  if (c < 0x100) return fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  if (c < 0x10000) return fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  return fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
}

void append_string_repr(StrBuilder& out, const Str& s) {
  const std::string_view text = s.view();
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append({&quote, 1}, Origin::kData);
  s.for_each_run([&](std::string_view run, Origin origin) {
    size_t plain = 0;  // start of the bytes that need no escape
    for (size_t i = 0; i < run.size();) {
      const Utf8Char c = decode_utf8(run.substr(i));
      if (!is_printable(c.code) || c.code == static_cast<unsigned char>(quote) || c.code == '\\') {
        out.append(run.substr(plain, i - plain), origin);
        out.append(escaped_char(c.code, quote), origin);
        plain = i + c.n_bytes;
      }
      i += c.n_bytes;
    }
    out.append(run.substr(plain), origin);
  });
  out.append({&quote, 1}, Origin::kData);
}

void append_items_repr(Runtime& rt, StrBuilder& out, const std::vector<Value>& items,
                       std::string_view open, std::string_view close, size_t depth) {
  out.append(open, Origin::kData);
  for (size_t i = 0; i < items.size() && rt.step(); ++i) {
    if (i > 0) out.append(", ", Origin::kData);
    append_repr(rt, out, items[i], depth + 1);
  }
  out.append(close, Origin::kData);
}

void append_dict_repr(Runtime& rt, StrBuilder& out, const Dict& dict, size_t depth) {
  out.append("{", Origin::kData);
  bool first = true;
  for (const auto& [key, value] : dict.items) {
    if (!rt.step()) return;
    if (!first) out.append(", ", Origin::kData);
    first = false;
    append_repr(rt, out, key, depth + 1);
    out.append(": ", Origin::kData);
    append_repr(rt, out, value, depth + 1);
  }
  out.append("}", Origin::kData);
}

std::string_view view_name(ViewKind kind) {
  if (kind == ViewKind::kKeys) return "dict_keys";
  return kind == ViewKind::kValues ? "dict_values" : "dict_items";
}

std::string range_repr(const Range& r) {
  if (r.step == 1) return fmt::format("range({}, {})", r.start, r.stop);
  return fmt::format("range({}, {}, {})", r.start, r.stop, r.step);
}

bool items_equal(Runtime& rt, const std::vector<Value>& a, const std::vector<Value>& b,
                 size_t depth) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!rt.step() || !equals(rt, a[i], b[i], depth + 1)) return false;
  }
  return true;
}

bool is_hashable(Runtime& rt, const Value& key, size_t depth = 0) {
  if (key.kind == Kind::kList || key.kind == Kind::kDict || key.kind == Kind::kView) {
    rt.fail(fmt::format("unhashable type: '{}'", type_name(key)));
    return false;
  }
  // One tuple may hold another many times over: every visit counts.
  if (key.kind != Kind::kTuple || too_deep(rt, depth) || !rt.step()) return !rt.failed();
  return std::all_of(key.list->items.begin(), key.list->items.end(),
                     [&](const Value& item) { return is_hashable(rt, item, depth + 1); });
}

}  // namespace

std::string_view type_name(const Value& v) {
  constexpr std::array<std::string_view, 18> kNames{
      "Undefined", "NoneType",    "bool",      "int",
      "float",     "str",         "list",      "tuple",
      "range",     "dict_view",   "generator", "dict",
      "Namespace", "LoopContext", "Macro",     "builtin_function_or_method",
      "Cycler",    "Joiner"};
  if (v.kind == Kind::kView) return view_name(v.list->view_kind);
  if (v.kind == Kind::kString && v.markup) return "Markup";
  return kNames[static_cast<size_t>(v.kind)];
}

std::string object_type(const Value& v) {
  if (v.is_none()) return "None";
  return fmt::format("{} object", type_name(v));
}

bool truthy(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return v.b;
    case Kind::kInt:
      return v.i != 0;
    case Kind::kFloat:
      return v.f != 0;
    case Kind::kString:
      return v.s.len > 0;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
      return !v.list->items.empty();
    case Kind::kDict:
      return !v.dict->items.empty();
    default:
      return true;
  }
}

bool equals(Runtime& rt, const Value& a, const Value& b, size_t depth) {
  if (too_deep(rt, depth)) return false;
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
    return a.as_float() == b.as_float();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.s.len == b.s.len && rt.work(a.s.len) && a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return items_equal(rt, a.list->items, b.list->items, depth);
    case Kind::kDict:
      if (a.dict->items.size() != b.dict->items.size()) return false;
      for (const auto& [key, value] : a.dict->items) {
        const Value* other = rt.step() ? find(rt, *b.dict, key) : nullptr;
        if (other == nullptr || !equals(rt, value, *other, depth + 1)) return false;
      }
      return true;
    default:
      return a.list == b.list;
  }
}

bool less(Runtime& rt, const Value& a, const Value& b, size_t depth) {
  if (too_deep(rt, depth) || !rt.step()) return false;
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_int() < b.as_int();
    return a.as_float() < b.as_float();
  }
  if (a.is_string() && b.is_string()) {
    // UTF-8 sorts as its code points do.
    return rt.work(std::min(a.s.len, b.s.len)) && a.text() < b.text();
  }
  if (a.kind == b.kind && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const std::vector<Value>& x = a.list->items;
    const std::vector<Value>& y = b.list->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equals(rt, x[i], y[i], depth + 1)) return less(rt, x[i], y[i], depth + 1);
      if (rt.failed()) return false;
    }
    return x.size() < y.size();
  }
  if (a.is_undefined() || b.is_undefined()) {
    rt.fail_undefined(a.is_undefined() ? a : b);
  } else {
    rt.fail(fmt::format("'<' not supported between instances of '{}' and '{}'", type_name(a),
                        type_name(b)));
  }
  return false;
}

// A merge sort of our own: std::sort leaves its range when the order contradicts itself (NaN, or an
// error half way), and libstdc++ 12's stable_sort does not compile without warnings.
std::vector<size_t> sorted_order(Runtime& rt, const std::vector<Value>& keys, bool reverse) {
  const size_t n = keys.size();
  if (!rt.charge_memory(2 * n * sizeof(size_t))) return {};
  std::vector<size_t> order(n);
  std::vector<size_t> merged(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  for (size_t width = 1; width < n && !rt.failed(); width *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * width) {
      const size_t middle = std::min(begin + width, n);
      const size_t end = std::min(begin + 2 * width, n);
      size_t a = begin;
      size_t b = middle;
      for (size_t out = begin; out < end; ++out) {
        const bool take_b =
            a == middle || (b < end && (reverse ? less(rt, keys[order[a]], keys[order[b]])
                                                : less(rt, keys[order[b]], keys[order[a]])));
        merged[out] = order[take_b ? b++ : a++];
      }
    }
    order.swap(merged);
  }
  return order;
}

std::string float_repr(double f) {
  if (std::isnan(f)) return "nan";
  if (std::isinf(f)) return f < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), f, std::chars_format::scientific)
          .ptr;
  const std::string_view scientific(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = scientific.find('e');
  int exponent = 0;
  const char* digits = scientific.data() + e + 1;
  if (*digits == '+') ++digits;
  std::from_chars(digits, end, exponent);
  // Python switches to an exponent outside of [1e-4, 1e16).
  if (exponent >= -4 && exponent < 16) {
    const auto fixed_end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), f, std::chars_format::fixed)
            .ptr;
    std::string fixed(buffer.data(), fixed_end);
    if (fixed.find('.') == std::string::npos) fixed += ".0";
    return fixed;
  }
  return fmt::format("{}e{}{:02d}", scientific.substr(0, e), exponent < 0 ? '-' : '+',
                     std::abs(exponent));
}

void append_repr(Runtime& rt, StrBuilder& out, const Value& v, size_t depth) {
  if (too_deep(rt, depth)) return;
  switch (v.kind) {
    case Kind::kUndefined:
      return out.append("Undefined", Origin::kData);
    case Kind::kNone:
      return out.append("None", v.origin);
    case Kind::kBool:
      return out.append(v.b ? "True" : "False", v.origin);
    case Kind::kInt:
      return out.append(fmt::format_int(v.i).c_str(), v.origin);
    case Kind::kFloat:
      return out.append(float_repr(v.f), v.origin);
    case Kind::kString:
      if (!v.markup) return append_string_repr(out, v.s);
      out.append("Markup(", Origin::kData);
      append_string_repr(out, v.s);
      return out.append(")", Origin::kData);
    case Kind::kList:
      return append_items_repr(rt, out, v.list->items, "[", "]", depth);
    case Kind::kTuple:
      return append_items_repr(rt, out, v.list->items, "(", v.list->items.size() == 1 ? ",)" : ")",
                               depth);
    case Kind::kRange:
      return out.append(range_repr(v.list->range), Origin::kData);
    case Kind::kView:
      out.append(view_name(v.list->view_kind), Origin::kData);
      return append_items_repr(rt, out, v.list->items, "([", "])", depth);
    case Kind::kDict:
      return append_dict_repr(rt, out, *v.dict, depth);
    case Kind::kNamespace:
      out.append("<Namespace ", Origin::kData);
      append_dict_repr(rt, out, v.ns->attributes, depth);
      return out.append(">", Origin::kData);
    default:
      return out.append(fmt::format("<{}>", type_name(v)), Origin::kData);
  }
}

Str repr(Runtime& rt, const Value& v) {
  StrBuilder out(rt);
  append_repr(rt, out, v);
  return out.finish();
}

void append_str(Runtime& rt, StrBuilder& out, const Value& v) {
  if (v.is_string()) return out.append(v.s);
  if (!v.is_undefined()) append_repr(rt, out, v);
}

Str to_str(Runtime& rt, const Value& v) {
  if (v.is_string()) return v.s;
  StrBuilder out(rt);
  append_str(rt, out, v);
  return out.finish();
}

const Value* find(Runtime& rt, const Dict& dict, std::string_view key) {
  if (!rt.step(dict.items.size() / kEntriesPerStep)) return nullptr;
  for (const auto& [known, value] : dict.items) {
    if (!known.is_string() || known.s.len != key.size()) continue;
    if (!rt.work(key.size())) return nullptr;
    if (known.text() == key) return &value;
  }
  return nullptr;
}

const Value* find(Runtime& rt, const Dict& dict, const Value& key) {
  if (key.is_string()) return find(rt, dict, key.text());
  if (!is_hashable(rt, key)) return nullptr;
  for (const auto& [known, value] : dict.items) {
    if (!rt.work(2 * kCharCost)) return nullptr;
    if (equals(rt, known, key)) return &value;
  }
  return nullptr;
}

void set(Runtime& rt, Dict& dict, const Value& key, const Value& value) {
  if (const Value* old = find(rt, dict, key); old != nullptr) {
    const_cast<Value&>(*old) = value;  // the dictionary itself is ours to change
    return;
  }
  if (!rt.failed() && rt.charge_memory(4 * sizeof(Value))) dict.items.emplace_back(key, value);
}

namespace {

// Whether `needle` stands at text[at]. Most candidates differ early: only the rest pay for all of
// the needle.
bool stands_at(Runtime& rt, std::string_view text, std::string_view needle, size_t at) {
  constexpr size_t kHead = 16;
  const std::string_view found = text.substr(at, needle.size());
  return found.substr(0, kHead) == needle.substr(0, kHead) && rt.work(needle.size()) &&
         found == needle;
}

}  // namespace

// Candidates are found by the first byte. The library's searches are faster on long needles, but
// what they cost in the worst case cannot be charged while they run.
size_t find_text(Runtime& rt, std::string_view text, std::string_view needle, size_t from) {
  constexpr size_t npos = std::string_view::npos;
  if (from > text.size() || needle.size() > text.size() - from) return npos;
  if (needle.empty()) return from;
  const size_t end = text.size() - needle.size() + 1;  // candidates are in [from, end)
  while (from < end) {
    const void* hit = memchr(text.data() + from, needle[0], end - from);
    const size_t at =
        hit == nullptr ? end : static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    if (!rt.work(kAppendCost + at - from)) return npos;
    if (at < end && stands_at(rt, text, needle, at)) return at;
    from = at + 1;
  }
  return npos;
}

size_t find_last_text(Runtime& rt, std::string_view text, std::string_view needle) {
  constexpr size_t npos = std::string_view::npos;
  if (needle.size() > text.size()) return npos;
  if (needle.empty()) return text.size();
  for (size_t end = text.size() - needle.size() + 1; end > 0;) {
    const void* hit = memrchr(text.data(), needle[0], end);
    const size_t at =
        hit == nullptr ? 0 : static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    if (!rt.work(kAppendCost + end - at)) return npos;
    if (hit != nullptr && stands_at(rt, text, needle, at)) return at;
    end = at;
  }
  return npos;
}

bool is_iterable(const Value& v) {
  return v.has_items() || v.is_string() || v.is_dict() || v.is_undefined() || v.is(Kind::kLoop);
}

bool iterate(Runtime& rt, const Value& v, std::vector<Value>& items) {
  items.clear();
  if (v.is_undefined()) return !rt.failed();
  if (v.is_string()) {
    const std::string_view text = v.text();
    if (!pay_for_chars(rt, text)) return false;
    const size_t n_chars = count_chars(text);
    if (!rt.charge_memory(n_chars * sizeof(Value))) return false;
    items.reserve(n_chars);
    for (size_t i = 0; i < text.size() && rt.step();) {
      const size_t n = decode_utf8(text.substr(i)).n_bytes;
      items.push_back(Value::string(v.s.sub(i, n), v.markup));
      i += n;
    }
  } else if (v.is_dict()) {
    if (!rt.charge_memory(v.dict->items.size() * sizeof(Value))) return false;
    items.reserve(v.dict->items.size());
    for (const auto& [key, value] : v.dict->items) items.push_back(key);
  } else if (v.kind == Kind::kGenerator) {
    if (!rt.charge_memory(v.list->items.size() * sizeof(Value))) return false;
    items.assign(v.list->items.begin() + static_cast<ptrdiff_t>(v.list->next), v.list->items.end());
    v.list->next = v.list->items.size();
  } else if (v.has_items()) {
    if (!rt.charge_memory(v.list->items.size() * sizeof(Value))) return false;
    items = v.list->items;
  } else {
    rt.fail(fmt::format("'{}' object is not iterable", type_name(v)));
  }
  return rt.step(items.size() / kEntriesPerStep);
}

bool contains(Runtime& rt, const Value& needle, const Value& haystack) {
  if (haystack.is_string()) {
    if (!needle.is_string()) {
      rt.fail(
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(needle)));
      return false;
    }
    return find_text(rt, haystack.text(), needle.text()) != std::string_view::npos;
  }
  if (haystack.is_dict()) return find(rt, *haystack.dict, needle) != nullptr;
  if (haystack.has_items()) {
    const List& list = *haystack.list;
    for (size_t i = haystack.is(Kind::kGenerator) ? list.next : 0; i < list.items.size(); ++i) {
      if (!rt.step()) return false;
      if (equals(rt, list.items[i], needle)) return true;
    }
    return false;
  }
  if (haystack.is_undefined()) return false;
  rt.fail(fmt::format("argument of type '{}' is not iterable", type_name(haystack)));
  return false;
}

bool pay_for_chars(Runtime& rt, std::string_view text) {
  return rt.work(text.size()) && (is_ascii(text) || rt.work(kCharCost * text.size()));
}

int64_t length(Runtime& rt, const Value& v) {
  if (v.is_string()) {
    return pay_for_chars(rt, v.text()) ? static_cast<int64_t>(count_chars(v.text())) : 0;
  }
  if (v.is_dict()) return static_cast<int64_t>(v.dict->items.size());
  if (v.has_items() && v.kind != Kind::kGenerator) {
    return static_cast<int64_t>(v.list->items.size());
  }
  if (v.is_undefined()) return 0;
  rt.fail(fmt::format("object of type '{}' has no len()", type_name(v)));
  return 0;
}

}  // namespace maru::text::jinja
