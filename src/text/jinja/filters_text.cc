// text/jinja/filters_text.cc - filters that make text or numbers.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/tojson.h"

namespace maru::text::jinja {
namespace {

// soft_str(): strings stay what they are, Markup too.
Value soft(Runtime& rt, const Value& v) { return v.is_string() ? v : Value::string(to_str(rt, v)); }
int64_t int_or(const Value& v, int64_t fallback) { return v.is_integral() ? v.as_int() : fallback; }

Value trim(Runtime& rt, const Value& v, Args& args) {
  Value chars;
  if (!bind(rt, "trim", args, {"chars"}, 0, &chars)) return {};
  const Value text = soft(rt, v);
  return rt.failed() ? Value{} : str_strip(rt, text, chars, true, true);
}

Value replace(Runtime& rt, const Value& v, Args& args) {
  Value slots[3];
  if (!bind(rt, "replace", args, {"old", "new", "count"}, 2, slots)) return {};
  return str_replace(rt, Value::string(to_str(rt, v)), to_str(rt, slots[0]), to_str(rt, slots[1]),
                     int_or(slots[2], -1));
}

// Jinja's own rule: words begin after white space, '-', '(', '{', '[' or '<'.
Value title(Runtime& rt, const Value& v, Args&) {
  const Str s = to_str(rt, v);
  StrBuilder out(rt);
  bool begins = true;
  size_t at = 0;
  while (at < s.len && rt.step()) {
    const size_t n = decode_utf8(s.view().substr(at)).n_bytes;
    const Value c = Value::string(s.sub(at, n));
    out.append(str_case(rt, c, begins ? Case::kUpper : Case::kLower).s);
    begins = leading_space(c.text()) > 0 ||
             std::string_view("-({[<").find(c.text()) != std::string_view::npos;
    at += n;
  }
  return out.finish_value();
}

Value indent(Runtime& rt, const Value& v, Args& args) {
  Value slots[3];
  if (!bind(rt, "indent", args, {"width", "first", "blank"}, 0, slots)) return {};
  if (v.is_undefined()) return rt.fail_undefined(v);
  if (!v.is_string()) return rt.fail(fmt::format("indent needs a string, not {}", type_name(v)));
  Str indention = slots[0].is_string() ? slots[0].s : Str{nullptr, 0, 0};
  if (!slots[0].is_string()) {
    StrBuilder spaces(rt);
    for (int64_t i = 0; i < int_or(slots[0], 4) && rt.step(); ++i) {
      spaces.append(" ", Origin::kLiteral);
    }
    indention = spaces.finish();
  }
  StrBuilder out(rt);
  const Str with_newline = rt.concat(v.s, rt.str("\n", Origin::kLiteral));
  const std::vector<Str> lines = str_lines(rt, with_newline, false);
  if (truthy(slots[1])) out.append(indention);
  for (size_t i = 0; i < lines.size() && rt.step(); ++i) {
    if (i > 0) {
      out.append("\n", Origin::kData);
      if (lines[i].len > 0 || truthy(slots[2])) out.append(indention);
    }
    out.append(lines[i]);
  }
  return Value::string(out.finish(), v.markup);
}

Value truncate(Runtime& rt, const Value& v, Args& args) {
  Value slots[4];
  if (!bind(rt, "truncate", args, {"length", "killwords", "end", "leeway"}, 0, slots)) return {};
  const int64_t limit = int_or(slots[0], 255);
  const Value end = slots[2].is_string() ? slots[2] : rt.text("...", Origin::kLiteral);
  const int64_t keep = limit - length(rt, end);
  if (keep < 0) return rt.fail("truncate: the length is below that of the end");
  if (length(rt, v) <= limit + int_or(slots[3], 5) || rt.failed()) return v;
  if (!v.is_string()) return rt.fail(fmt::format("truncate needs a string, not {}", type_name(v)));
  if (!rt.work(2 * v.s.len)) return {};
  Str cut = v.s.sub(0, char_offset(v.text(), static_cast<size_t>(keep)));
  const size_t space = cut.view().rfind(' ');
  if (!truthy(slots[1]) && space != std::string_view::npos) cut = cut.sub(0, space);
  return Value::string(rt.concat(cut, end.s));
}

// The whole of `text` as a Python int; false where it is none.
bool parse_int(std::string_view text, int base, int64_t& value) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  const bool negative = text.starts_with("-");
  if (negative || text.starts_with("+")) text.remove_prefix(1);
  const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && text.starts_with(prefix)) text.remove_prefix(2);
  std::string digits(negative ? "-" : "");
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  if (text.empty() || text[0] == '-' || text[0] == '_' || base < 2 || base > 36) return false;
  const auto [ptr, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return ec == std::errc() && ptr == digits.data() + digits.size();
}

bool parse_float(std::string_view text, double& value) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  if (text.starts_with("+")) text.remove_prefix(1);
  if (text.empty() || text.size() > 400 || text[0] == '_' || text.back() == '_') return false;
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  const auto [ptr, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return ec != std::errc::invalid_argument && ptr == digits.data() + digits.size();
}

bool to_int(double f, int64_t& value) {
  if (!(f > -9.2e18 && f < 9.2e18)) return false;
  value = static_cast<int64_t>(f);
  return true;
}

Value to_integer(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  slots[0] = Value::integer(0, Origin::kLiteral);
  if (!bind(rt, "int", args, {"default", "base"}, 0, slots)) return {};
  if (v.is_undefined()) return rt.fail_undefined(v);
  if (v.is_string() && !rt.work(2 * kCharCost * v.s.len)) return {};
  int64_t value = 0;
  double real = 0;
  if (v.is_integral()) return Value::integer(v.as_int(), v.origin);
  if (v.is(Kind::kFloat) && to_int(v.f, value)) return Value::integer(value, v.origin);
  if (v.is_string()) {
    if (parse_int(v.text(), static_cast<int>(int_or(slots[1], 10)), value)) {
      return Value::integer(value);
    }
    if (parse_float(v.text(), real) && to_int(real, value)) return Value::integer(value);
  }
  return slots[0];
}

Value to_float(Runtime& rt, const Value& v, Args& args) {
  Value fallback = Value::real(0, Origin::kLiteral);
  if (!bind(rt, "float", args, {"default"}, 0, &fallback)) return {};
  if (v.is_undefined()) return rt.fail_undefined(v);
  if (v.is_string() && !rt.work(kCharCost * v.s.len)) return {};
  double real = 0;
  if (v.is_number()) return Value::real(v.as_float(), v.origin);
  if (v.is_string() && parse_float(v.text(), real)) return Value::real(real);
  return fallback;
}

Value round_number(Runtime& rt, const Value& v, Args& args) {
  Value slots[2];
  if (!bind(rt, "round", args, {"precision", "method"}, 0, slots)) return {};
  if (!v.is_number()) {
    return v.is_undefined() ? rt.fail_undefined(v)
                            : rt.fail(fmt::format("type {} cannot be rounded", type_name(v)));
  }
  const int64_t precision = std::clamp<int64_t>(int_or(slots[0], 0), -300, 300);
  const std::string_view method = slots[1].is_string() ? slots[1].text() : "common";
  if (method == "common") {
    if (v.is_integral() && precision >= 0) return Value::integer(v.as_int(), v.origin);
    // From 2^53 on there are no fractions.
    if (!std::isfinite(v.as_float()) || std::fabs(v.as_float()) >= 0x1p53) {
      if (precision >= 0) return v;
    }
    if (precision >= 0) {
      if (!rt.work(precision > 20 ? kLongNumberCost : kNumberCost)) return {};
      const std::string text = fmt::format("{:.{}f}", v.as_float(), precision);
      return Value::real(std::strtod(text.c_str(), nullptr), v.origin);
    }
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    const double rounded = std::nearbyint(v.as_float() / unit) * unit;
    int64_t whole = 0;
    if (v.is_integral() && to_int(rounded, whole)) return Value::integer(whole, v.origin);
    return Value::real(rounded, v.origin);
  }
  if (method != "ceil" && method != "floor") {
    return rt.fail("method must be common, ceil or floor");
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = v.as_float() * unit;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit, v.origin);
}

Value absolute(Runtime& rt, const Value& v, Args&) {
  if (v.is(Kind::kFloat)) return Value::real(std::fabs(v.f), v.origin);
  if (v.is_integral()) return v.as_int() < 0 ? negate(rt, v) : Value::integer(v.as_int(), v.origin);
  return v.is_undefined() ? rt.fail_undefined(v)
                          : rt.fail(fmt::format("bad operand type for abs(): '{}'", type_name(v)));
}

Value format(Runtime& rt, const Value& v, Args& args) {
  const Str text = to_str(rt, v);
  if (args.named.empty()) {
    return percent_format(rt, text, rt.list(Kind::kTuple, args.positional));
  }
  Dict* dict = rt.new_dict();
  for (const auto& [name, value] : args.named) {
    set(rt, *dict, rt.text(name, Origin::kData), value);
  }
  return percent_format(rt, text, Value::of(dict));
}

Value striptags(Runtime& rt, const Value& v, Args&) {
  const Str s = to_str(rt, v);
  StrBuilder out(rt);
  bool space = false;  // white space is owed before the next character
  for (size_t at = 0; at < s.len && rt.step();) {
    const std::string_view rest = s.view().substr(at);
    size_t close = std::string_view::npos;
    if (rest[0] == '<') close = find_text(rt, rest, rest.starts_with("<!--") ? "-->" : ">");
    if (close != std::string_view::npos) {
      at += close + (rest.starts_with("<!--") ? 3 : 1);
      continue;
    }
    const Utf8Char c = decode_utf8(rest);
    if (is_space(c.code)) {
      space = true;
    } else {
      if (space && out.size() > 0) out.append(" ", Origin::kData);
      space = false;
      out.append(s.sub(at, c.n_bytes));
    }
    at += c.n_bytes;
  }
  return out.finish_value();
}

Value wordcount(Runtime& rt, const Value& v, Args&) {
  const Str s = to_str(rt, v);
  int64_t n = 0;
  bool in_word = false;
  for (std::string_view text = s.view(); !text.empty() && rt.step();) {
    const Utf8Char c = decode_utf8(text);
    const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c.code));
    const bool word = c.code == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
                      (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
    n += word && !in_word ? 1 : 0;
    in_word = word;
    text.remove_prefix(c.n_bytes);
  }
  return Value::integer(n);
}

Value urlencode(Runtime& rt, const Value& v, Args&) {
  const auto quote = [&rt](StrBuilder& out, const Value& part, bool slash) {
    for (const char& c : to_str(rt, part).view()) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~' ||
                         (c == '/' && slash);
      if (plain) {
        out.append({&c, 1}, Origin::kData);
      } else if (c == ' ' && !slash) {
        out.append("+", Origin::kData);
      } else {
        out.append(fmt::format("%{:02X}", static_cast<unsigned char>(c)), Origin::kData);
      }
    }
  };
  StrBuilder out(rt);
  if (!v.is_dict() && !v.has_items()) {
    quote(out, v, true);
    return out.finish_value();
  }
  std::vector<Value> pairs;
  if (v.is_dict()) {
    for (const auto& [key, value] : v.dict->items) pairs.push_back(rt.pair(key, value));
  } else if (!iterate(rt, v, pairs)) {
    return {};
  }
  for (const Value& pair : pairs) {
    std::vector<Value> parts;
    if (!iterate(rt, pair, parts)) return {};
    if (parts.size() != 2) return rt.fail("urlencode needs pairs");
    if (out.size() > 0) out.append("&", Origin::kData);
    quote(out, parts[0], false);
    out.append("=", Origin::kData);
    quote(out, parts[1], false);
  }
  return out.finish_value();
}

Value filesize(Runtime& rt, const Value& v, Args& args) {
  Value binary;
  if (!bind(rt, "filesizeformat", args, {"binary"}, 0, &binary)) return {};
  if (v.is_string() && !rt.work(kCharCost * v.s.len)) return {};
  double bytes = v.is_number() ? v.as_float() : 0;
  if (!v.is_number() && !(v.is_string() && parse_float(v.text(), bytes))) {
    return rt.fail(fmt::format("filesizeformat needs a number, not {}", type_name(v)));
  }
  const double base = truthy(binary) ? 1024 : 1000;
  if (bytes == 1) return rt.text("1 Byte", Origin::kData);
  if (bytes < base) return rt.text(fmt::format("{:.0f} Bytes", std::trunc(bytes)), Origin::kData);
  double unit = base;
  size_t i = 0;
  while (i < 7 && bytes >= unit * base) {
    unit *= base;
    ++i;
  }
  const std::string_view prefixes = truthy(binary) ? "KMGTPEZY" : "kMGTPEZY";
  return rt.text(fmt::format("{:.1f} {}{}", bytes / unit, prefixes[i], truthy(binary) ? "iB" : "B"),
                 Origin::kData);
}

constexpr FilterDef kFilters[] = {
    {"trim", trim},
    {"replace", replace},
    {"title", title},
    {"indent", indent},
    {"truncate", truncate},
    {"int", to_integer},
    {"float", to_float},
    {"round", round_number},
    {"abs", absolute},
    {"format", format},
    {"striptags", striptags},
    {"wordcount", wordcount},
    {"urlencode", urlencode},
    {"filesizeformat", filesize},
    {"tojson", tojson},
    {"upper",
     [](Runtime& rt, const Value& v, Args&) { return str_case(rt, soft(rt, v), Case::kUpper); }},
    {"lower",
     [](Runtime& rt, const Value& v, Args&) { return str_case(rt, soft(rt, v), Case::kLower); }},
    {"capitalize", [](Runtime& rt, const Value& v,
                      Args&) { return str_case(rt, soft(rt, v), Case::kCapitalize); }},
    {"string", [](Runtime& rt, const Value& v, Args&) { return soft(rt, v); }},
    {"pprint", [](Runtime& rt, const Value& v, Args&) { return Value::string(repr(rt, v)); }},
    {"safe", [](Runtime& rt, const Value& v, Args&) { return Value::string(to_str(rt, v), true); }},
    {"escape", [](Runtime& rt, const Value& v, Args&) { return escape_html(rt, v); }},
    {"e", [](Runtime& rt, const Value& v, Args&) { return escape_html(rt, v); }},
    {"forceescape", [](Runtime& rt, const Value& v,
                       Args&) { return escape_html(rt, Value::string(to_str(rt, v))); }},
    {"center",
     [](Runtime& rt, const Value& v, Args& args) {
       Value width;
       if (!bind(rt, "center", args, {"width"}, 0, &width)) return Value{};
       return str_center(rt, to_str(rt, v), int_or(width, 80), " ");
     }},
};

}  // namespace

const FilterDef* find_text_filter(std::string_view name) {
  for (const FilterDef& def : kFilters) {
    if (def.name == name) return &def;
  }
  return nullptr;
}

}  // namespace maru::text::jinja
