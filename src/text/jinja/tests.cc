#include "text/jinja/tests.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/filters.h"

namespace maru::text::jinja {
namespace {

Value argument(Runtime& rt, Args& args) {
  Value other;
  bind(rt, "test", args, {"other"}, 1, &other);
  return other;
}

// v % divisor == remainder, as Python's numbers do it.
bool leaves(Runtime& rt, const Value& v, const Value& divisor, int64_t remainder) {
  const Value left = math(rt, Op::kMod, v, divisor);
  return !rt.failed() && equals(rt, left, Value::integer(remainder));
}

// str.islower() and str.isupper(): at least one cased character and none of the other case.
bool has_only_case(Runtime& rt, const Value& v, utf8proc_category_t wanted) {
  const Str s = to_str(rt, v);
  bool found = false;
  for (std::string_view text = s.view(); !text.empty() && rt.step();) {
    const Utf8Char c = decode_utf8(text);
    text.remove_prefix(c.n_bytes);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.code));
    if (category == wanted) {
      found = true;
    } else if (category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
               category == UTF8PROC_CATEGORY_LT) {
      return false;
    }
  }
  return found;
}

bool is_equal(Runtime& rt, const Value& v, Args& args) { return equals(rt, v, argument(rt, args)); }
bool is_unequal(Runtime& rt, const Value& v, Args& args) { return !is_equal(rt, v, args); }
bool is_less(Runtime& rt, const Value& v, Args& args) { return less(rt, v, argument(rt, args)); }
bool is_greater(Runtime& rt, const Value& v, Args& args) { return less(rt, argument(rt, args), v); }
bool is_at_most(Runtime& rt, const Value& v, Args& args) {
  const Value other = argument(rt, args);
  return less(rt, v, other) || equals(rt, v, other);
}
bool is_at_least(Runtime& rt, const Value& v, Args& args) {
  const Value other = argument(rt, args);
  return less(rt, other, v) || equals(rt, v, other);
}

bool is_same(Runtime& rt, const Value& v, Args& args) {
  const Value other = argument(rt, args);
  if (v.kind != other.kind) return false;
  if (v.is_dict() || v.has_items()) return v.list == other.list;
  return equals(rt, v, other);
}

bool is_divisible(Runtime& rt, const Value& v, Args& args) {
  return leaves(rt, v, argument(rt, args), 0);
}

bool is_sequence(Runtime&, const Value& v, Args&) {
  return v.is_string() || v.is_dict() || v.is_undefined() || v.is(Kind::kList) ||
         v.is(Kind::kTuple) || v.is(Kind::kRange);
}

constexpr TestDef kTests[] = {
    {"defined", [](Runtime&, const Value& v, Args&) { return !v.is_undefined(); }},
    {"undefined", [](Runtime&, const Value& v, Args&) { return v.is_undefined(); }},
    {"none", [](Runtime&, const Value& v, Args&) { return v.is_none(); }},
    {"boolean", [](Runtime&, const Value& v, Args&) { return v.is(Kind::kBool); }},
    {"true", [](Runtime&, const Value& v, Args&) { return v.is(Kind::kBool) && v.b; }},
    {"false", [](Runtime&, const Value& v, Args&) { return v.is(Kind::kBool) && !v.b; }},
    {"integer", [](Runtime&, const Value& v, Args&) { return v.is(Kind::kInt); }},
    {"float", [](Runtime&, const Value& v, Args&) { return v.is(Kind::kFloat); }},
    {"number", [](Runtime&, const Value& v, Args&) { return v.is_number(); }},
    {"string", [](Runtime&, const Value& v, Args&) { return v.is_string(); }},
    {"mapping", [](Runtime&, const Value& v, Args&) { return v.is_dict(); }},
    {"iterable", [](Runtime&, const Value& v, Args&) { return is_iterable(v); }},
    {"sequence", is_sequence},
    {"callable",
     [](Runtime&, const Value& v, Args&) {
       return v.is(Kind::kCallable) || v.is(Kind::kMacro) || v.is(Kind::kLoop) ||
              v.is(Kind::kJoiner) || v.is_undefined();
     }},
    {"escaped", [](Runtime&, const Value& v, Args&) { return v.markup; }},
    {"lower",
     [](Runtime& rt, const Value& v, Args&) { return has_only_case(rt, v, UTF8PROC_CATEGORY_LL); }},
    {"upper",
     [](Runtime& rt, const Value& v, Args&) { return has_only_case(rt, v, UTF8PROC_CATEGORY_LU); }},
    {"odd", [](Runtime& rt, const Value& v, Args&) { return leaves(rt, v, Value::integer(2), 1); }},
    {"even",
     [](Runtime& rt, const Value& v, Args&) { return leaves(rt, v, Value::integer(2), 0); }},
    {"divisibleby", is_divisible},
    {"sameas", is_same},
    {"in",
     [](Runtime& rt, const Value& v, Args& args) { return contains(rt, v, argument(rt, args)); }},
    {"filter", [](Runtime&, const Value& v,
                  Args&) { return v.is_string() && find_filter(v.text()) != nullptr; }},
    {"test", [](Runtime&, const Value& v,
                Args&) { return v.is_string() && find_test(v.text()) != nullptr; }},
    {"==", is_equal},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"!=", is_unequal},
    {"ne", is_unequal},
    {"<", is_less},
    {"lt", is_less},
    {"lessthan", is_less},
    {">", is_greater},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {"<=", is_at_most},
    {"le", is_at_most},
    {">=", is_at_least},
    {"ge", is_at_least},
};

}  // namespace

const TestDef* find_test(std::string_view name) {
  for (const TestDef& def : kTests) {
    if (def.name == name) return &def;
  }
  return nullptr;
}

}  // namespace maru::text::jinja
