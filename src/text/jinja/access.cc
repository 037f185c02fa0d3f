#include "text/jinja/access.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja/convert.h"
#include "text/jinja/format.h"
#include "text/jinja/globals.h"
#include "text/jinja/loop.h"
#include "text/jinja/methods.h"

namespace maru::text::jinja {
namespace {

// Methods and other attributes; not items.
bool native_attribute(Runtime& rt, const Value& object, std::string_view name, Value& value) {
  if (object.is(Kind::kLoop)) return loop_attribute(rt, object, name, value);
  if (find_method(rt, object, name, value)) return true;
  return object_attribute(rt, object, name, value);
}

// The item of a sequence or dictionary; false where there is none.
bool item(Runtime& rt, const Value& object, const Value& key, Value& value) {
  if (object.is_dict()) {
    if (key.is(Kind::kList) || key.is_dict()) return false;  // not hashable: no such item
    const Value* found = find(rt, *object.dict, key);
    if (found != nullptr) value = *found;
    return found != nullptr;
  }
  if (!key.is_integral()) return false;
  const int64_t index = key.as_int();
  if (object.is_string()) {
    const std::string_view text = object.text();
    if (!pay_for_chars(rt, text)) return false;
    const auto n = static_cast<int64_t>(count_chars(text));
    if (index >= n || index < -n) return false;
    const size_t at = char_offset(text, static_cast<size_t>(index < 0 ? index + n : index));
    value = Value::string(object.s.sub(at, decode_utf8(text.substr(at)).n_bytes), object.markup);
    return true;
  }
  if (!object.is(Kind::kList) && !object.is(Kind::kTuple) && !object.is(Kind::kRange)) return false;
  const auto n = static_cast<int64_t>(object.list->items.size());
  if (index >= n || index < -n) return false;
  value = object.list->items[static_cast<size_t>(index < 0 ? index + n : index)];
  return true;
}

// Python's slice.indices().
struct Indices {
  int64_t begin, end, step;
};
bool resolve(Runtime& rt, const Value& begin, const Value& end, const Value& step, int64_t n,
             Indices& range) {
  for (const Value* v : {&begin, &end, &step}) {
    if (v->is_none() || v->is_integral()) continue;
    if (v->is_undefined()) {
      rt.fail_undefined(*v);
    } else {
      rt.fail("slice indices must be integers or None or have an __index__ method");
    }
    return false;
  }
  range.step = step.is_none() ? 1 : step.as_int();
  if (range.step == 0) {
    rt.fail("slice step cannot be zero");
    return false;
  }
  const bool up = range.step > 0;
  const auto clamp = [&](const Value& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    int64_t i = bound.as_int();
    if (i < 0) i = i < -n ? -1 : i + n;
    if (i < 0) return up ? int64_t{0} : int64_t{-1};
    return i >= n ? (up ? n : n - 1) : i;
  };
  range.begin = clamp(begin, up ? 0 : n - 1);
  range.end = clamp(end, up ? n : -1);
  return true;
}

Value slice_text(Runtime& rt, const Value& object, const Indices& range, int64_t n) {
  const std::string_view text = object.text();
  if (range.step == 1) {
    if (range.begin >= range.end) return Value::string({nullptr, 0, 0}, object.markup);
    const size_t from = char_offset(text, static_cast<size_t>(range.begin));
    const size_t to =
        from + char_offset(text.substr(from), static_cast<size_t>(range.end - range.begin));
    return Value::string(object.s.sub(from, to - from), object.markup);
  }
  std::vector<Value> chars;
  if (!iterate(rt, object, chars) || static_cast<int64_t>(chars.size()) != n) return {};
  StrBuilder out(rt);
  for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end;) {
    if (!rt.step()) return {};
    out.append(chars[static_cast<size_t>(i)].s);
    if (__builtin_add_overflow(i, range.step, &i)) break;
  }
  return Value::string(out.finish(), object.markup);
}

Value unsupported(Runtime& rt, std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) return rt.fail_undefined(a);
  if (b.is_undefined()) return rt.fail_undefined(b);
  return rt.fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a),
                             type_name(b)));
}

Value repeat(Runtime& rt, const Value& what, int64_t times) {
  if (times <= 0) times = 0;
  if (what.is_string()) {
    StrBuilder out(rt);
    for (int64_t i = 0; i < times && what.s.len > 0 && rt.step(); ++i) out.append(what.s);
    return Value::string(out.finish(), what.markup);
  }
  List* list = rt.new_list();
  for (int64_t i = 0; i < times && !what.list->items.empty() && rt.step(); ++i) {
    for (size_t k = 0; k < what.list->items.size() && !rt.failed(); ++k) {
      rt.add(list, what.list->items[k]);
    }
  }
  return Value::of(what.kind, list);
}

Value joined_lists(Runtime& rt, const Value& a, const Value& b) {
  List* list = rt.new_list(a.list->items.size() + b.list->items.size());
  if (rt.failed()) return {};
  list->items = a.list->items;
  list->items.insert(list->items.end(), b.list->items.begin(), b.list->items.end());
  return Value::of(a.kind, list);
}

Value add(Runtime& rt, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    if (!a.markup && !b.markup) return Value::string(rt.concat(a.s, b.s));
    return Value::string(rt.concat(escape_html(rt, a).s, escape_html(rt, b).s), true);
  }
  if (a.kind == b.kind && (a.is(Kind::kList) || a.is(Kind::kTuple))) return joined_lists(rt, a, b);
  if (a.is_undefined() || b.is_undefined()) return unsupported(rt, "+", a, b);
  if (a.is_string() || a.is(Kind::kList) || a.is(Kind::kTuple)) {
    return rt.fail(fmt::format("can only concatenate {} (not \"{}\") to {}", type_name(a),
                               type_name(b), type_name(a)));
  }
  return unsupported(rt, "+", a, b);
}

// Python's: the sign of the divisor, of zero too. Requires: b != 0.
double float_mod(double a, double b) {
  const double m = std::fmod(a, b);
  if (m == 0) return std::copysign(0.0, b);
  return (m < 0) != (b < 0) ? m + b : m;
}

double float_floor(double a, double b) {
  const double quotient = (a - float_mod(a, b)) / b;
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value float_math(Runtime& rt, Op op, double a, double b, Origin origin) {
  switch (op) {
    case Op::kAdd:
      return Value::real(a + b, origin);
    case Op::kSub:
      return Value::real(a - b, origin);
    case Op::kMul:
      return Value::real(a * b, origin);
    case Op::kDiv:
      if (b == 0) return rt.fail("division by zero");
      return Value::real(a / b, origin);
    case Op::kFloorDiv:
      if (b == 0) return rt.fail("float floor division by zero");
      return Value::real(float_floor(a, b), origin);
    case Op::kMod: {
      if (b == 0) return rt.fail("float modulo by zero");
      return Value::real(float_mod(a, b), origin);
    }
    default: {
      if (a == 0 && b < 0) return rt.fail("0.0 cannot be raised to a negative power");
      const double p = std::pow(a, b);
      if (std::isnan(p) && !std::isnan(a) && !std::isnan(b)) {
        return rt.fail("complex numbers are not supported");
      }
      return Value::real(p, origin);
    }
  }
}

bool int_power(int64_t base, int64_t exponent, int64_t& power) {
  power = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(power, base, &power)) return false;
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return false;
  }
  return true;
}

Value int_math(Runtime& rt, Op op, int64_t a, int64_t b, Origin origin) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSub:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMul:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kDiv:
      if (b == 0) return rt.fail("division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b), origin);
    case Op::kFloorDiv:
    case Op::kMod:
      if (b == 0) return rt.fail("integer division or modulo by zero");
      if (b == -1) {
        overflow = op == Op::kFloorDiv && __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      if (op == Op::kFloorDiv) {
        result = a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
      } else {
        result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
      }
      break;
    default:
      if (b < 0) {
        return float_math(rt, op, static_cast<double>(a), static_cast<double>(b), origin);
      }
      overflow = !int_power(a, b, result);
      break;
  }
  if (overflow) return rt.fail("an integer does not fit 64 bits");
  return Value::integer(result, origin);
}

std::string_view op_text(Op op) {
  switch (op) {
    case Op::kSub:
      return "-";
    case Op::kMul:
      return "*";
    case Op::kDiv:
      return "/";
    case Op::kFloorDiv:
      return "//";
    case Op::kMod:
      return "%";
    case Op::kPow:
      return "** or pow()";
    default:
      return "+";
  }
}

}  // namespace

Value get_attribute(Runtime& rt, const Value& object, std::string_view name) {
  if (object.is_undefined()) return rt.fail_undefined(object);
  Value value;
  if (name.starts_with("__")) return rt.undefined_unsafe(object, name);
  if (object.is(Kind::kNamespace)) {
    const Value* found = find(rt, object.ns->attributes, name);
    return found != nullptr ? *found : rt.undefined_attribute(object, name);
  }
  if (native_attribute(rt, object, name, value)) return value;
  if (object.is_dict()) {
    const Value* found = find(rt, *object.dict, name);
    if (found != nullptr) return *found;
  }
  return rt.undefined_attribute(object, name);
}

Value get_item(Runtime& rt, const Value& object, const Value& key) {
  if (object.is_undefined()) return rt.fail_undefined(object);
  Value value;
  if (object.is(Kind::kNamespace)) {
    if (!key.is_string()) return rt.undefined_element(object, key);
    return get_attribute(rt, object, key.text());
  }
  if (item(rt, object, key, value)) return value;
  if (!key.is_string()) return rt.undefined_element(object, key);
  if (key.text().starts_with("__")) return rt.undefined_unsafe(object, key.text());
  if (native_attribute(rt, object, key.text(), value)) return value;
  return rt.undefined_attribute(object, key.text());
}

Value get_slice(Runtime& rt, const Value& object, const Value& begin, const Value& end,
                const Value& step) {
  if (object.is_undefined()) return rt.fail_undefined(object);
  Indices range;
  if (object.is_string()) {
    if (!pay_for_chars(rt, object.text())) return {};
    const auto n = static_cast<int64_t>(count_chars(object.text()));
    return resolve(rt, begin, end, step, n, range) ? slice_text(rt, object, range, n) : Value{};
  }
  if (!object.is(Kind::kList) && !object.is(Kind::kTuple) && !object.is(Kind::kRange)) {
    return rt.fail(fmt::format("'{}' object is not subscriptable by a slice", type_name(object)));
  }
  const std::vector<Value>& items = object.list->items;
  if (!resolve(rt, begin, end, step, static_cast<int64_t>(items.size()), range)) return {};
  List* list = rt.new_list();
  if (object.is(Kind::kRange)) {
    const Range& of = object.list->range;
    const auto at = [&of](int64_t i) {
      int64_t offset = 0;
      return __builtin_mul_overflow(i, of.step, &offset) ||
                     __builtin_add_overflow(of.start, offset, &offset)
                 ? INT64_MAX
                 : offset;
    };
    list->range = {at(range.begin), at(range.end), 1};
    if (__builtin_mul_overflow(of.step, range.step, &list->range.step)) list->range.step = 1;
  }
  for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end;) {
    if (!rt.step()) return {};
    rt.add(list, items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, range.step, &i)) break;
  }
  return Value::of(object.kind, list);
}

Value follow_path(Runtime& rt, const Value& object, const Value& path, const Value* fallback) {
  const bool has_fallback =
      fallback != nullptr && !fallback->is_undefined() && !fallback->is_none();
  const auto step = [&](const Value& from, const Value& key) {
    const Value found = get_item(rt, from, key);
    return found.is_undefined() && has_fallback ? *fallback : found;
  };
  if (!path.is_string()) return path.is_none() ? object : step(object, path);
  Value value = object;
  for (size_t begin = 0; begin <= path.s.len && rt.step();) {
    const std::string_view text = path.text();
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    int64_t index = 0;
    const auto [ptr, ec] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index =
        !part.empty() && part[0] != '-' && ec == std::errc() && ptr == part.data() + part.size();
    value = step(value,
                 is_index ? Value::integer(index) : Value::string(path.s.sub(begin, end - begin)));
    begin = end + 1;
  }
  return value;
}

Value math(Runtime& rt, Op op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) {
      return int_math(rt, op, a.as_int(), b.as_int(), both(a, b));
    }
    return float_math(rt, op, a.as_float(), b.as_float(), both(a, b));
  }
  if (op == Op::kAdd) return add(rt, a, b);
  if (op == Op::kMod && a.is_string()) return percent_format(rt, a.s, b);
  if (op == Op::kMul) {
    const auto repeatable = [](const Value& v) {
      return v.is_string() || v.is(Kind::kList) || v.is(Kind::kTuple);
    };
    if (repeatable(a) && b.is_integral()) return repeat(rt, a, b.as_int());
    if (repeatable(b) && a.is_integral()) return repeat(rt, b, a.as_int());
  }
  return unsupported(rt, op_text(op), a, b);
}

Value negate(Runtime& rt, const Value& a) {
  if (rt.failed()) return {};
  if (a.is(Kind::kFloat)) return Value::real(-a.f, a.origin);
  if (a.is_integral()) return int_math(rt, Op::kSub, 0, a.as_int(), a.origin);
  if (a.is_undefined()) return rt.fail_undefined(a);
  return rt.fail(fmt::format("bad operand type for unary -: '{}'", type_name(a)));
}

Value concat(Runtime& rt, const Value& a, const Value& b) {
  const Str left = to_str(rt, a);
  return Value::string(rt.concat(left, to_str(rt, b)));
}

Value escape_html(Runtime& rt, const Value& v) {
  if (v.is_string() && v.markup) return v;
  StrBuilder out(rt);
  to_str(rt, v).for_each_run([&out](std::string_view run, Origin origin) {
    for (const char& c : run) {
      switch (c) {
        case '&':
          out.append("&amp;", origin);
          break;
        case '<':
          out.append("&lt;", origin);
          break;
        case '>':
          out.append("&gt;", origin);
          break;
        case '\'':
          out.append("&#39;", origin);
          break;
        case '"':
          out.append("&#34;", origin);
          break;
        default:
          out.append({&c, 1}, origin);
      }
    }
  });
  return Value::string(out.finish(), true);
}

}  // namespace maru::text::jinja
