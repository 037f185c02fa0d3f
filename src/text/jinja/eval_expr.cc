// text/jinja/eval_expr.cc - the evaluator's second half: expressions and calls.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/eval.h"
#include "text/jinja/filters.h"
#include "text/jinja/tests.h"

namespace maru::text::jinja {

Value Evaluator::eval(const Expr& expr, Scope& scope) {
  const Depth depth(*this);
  if (!depth.ok()) return {};
  if (expr.kind == ExprKind::kConstant) return expr.constant;
  if (expr.kind == ExprKind::kName) return lookup(scope, expr.name);
  const Value value = eval_inner(expr, scope);
  if (!rt_.failed()) return value;
  rt_.locate(expr.pos);
  return {};
}

Value Evaluator::eval_inner(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kConstant:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      return {};
    case ExprKind::kList:
      return eval_items(expr, scope, Kind::kList);
    case ExprKind::kTuple:
      return eval_items(expr, scope, Kind::kTuple);
    case ExprKind::kDict:
      return eval_dict(expr, scope);
    case ExprKind::kGetattr: {
      const Value object = eval(*expr.items[0], scope);
      return rt_.failed() ? Value{} : get_attribute(rt_, object, expr.text);
    }
    case ExprKind::kGetitem: {
      const Value object = eval(*expr.items[0], scope);
      const Value key = eval(*expr.items[1], scope);
      return rt_.failed() ? Value{} : get_item(rt_, object, key);
    }
    case ExprKind::kSlice:
      return eval_slice(expr, scope);
    case ExprKind::kCall:
      return eval_call(expr, scope, nullptr);
    case ExprKind::kFilter:
      return eval_filter(expr, scope, nullptr);
    case ExprKind::kTest:
      return eval_test(expr, scope);
    case ExprKind::kNot: {
      const Value value = eval(*expr.items[0], scope);
      return Value::boolean(!truthy(value));
    }
    case ExprKind::kNegate:
      return negate(rt_, eval(*expr.items[0], scope));
    case ExprKind::kPlus: {
      const Value value = eval(*expr.items[0], scope);
      if (value.is(Kind::kBool)) return Value::integer(value.as_int(), value.origin);
      if (value.is_number() || rt_.failed()) return value;
      return rt_.fail(fmt::format("bad operand type for unary +: '{}'", type_name(value)));
    }
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return eval_logic(expr, scope);
    case ExprKind::kConcat:
      return eval_concat(expr, scope);
    case ExprKind::kMath:
      return eval_math(expr, scope);
    case ExprKind::kCompare:
      return eval_compare(expr, scope);
    case ExprKind::kCondition:
      return eval_condition(expr, scope);
  }
  return {};
}

Value Evaluator::eval_items(const Expr& expr, Scope& scope, Kind kind) {
  List* list = rt_.new_list(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    const Value value = eval(*item, scope);
    if (rt_.failed()) return {};
    rt_.add(list, value);
  }
  return Value::of(kind, list);
}

Value Evaluator::eval_dict(const Expr& expr, Scope& scope) {
  Dict* dict = rt_.new_dict();
  for (size_t i = 0; i < expr.items.size() && !rt_.failed(); i += 2) {
    const Value key = eval(*expr.items[i], scope);
    const Value value = eval(*expr.items[i + 1], scope);
    if (!rt_.failed()) set(rt_, *dict, key, value);
  }
  return Value::of(dict);
}

Value Evaluator::eval_slice(const Expr& expr, Scope& scope) {
  const Value object = eval(*expr.items[0], scope);
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    bounds[i] = expr.items[i + 1] != nullptr ? eval(*expr.items[i + 1], scope) : Value::none();
  }
  return rt_.failed() ? Value{} : get_slice(rt_, object, bounds[0], bounds[1], bounds[2]);
}

Value Evaluator::eval_logic(const Expr& expr, Scope& scope) {
  Value value;
  for (const ExprPtr& item : expr.items) {
    value = eval(*item, scope);
    if (rt_.failed() || truthy(value) == (expr.kind == ExprKind::kOr)) break;
  }
  return value;
}

Value Evaluator::eval_concat(const Expr& expr, Scope& scope) {
  Value joined = eval(*expr.items[0], scope);
  for (size_t i = 1; i < expr.items.size() && !rt_.failed(); ++i) {
    const Value next = eval(*expr.items[i], scope);
    if (!rt_.failed()) joined = concat(rt_, joined, next);
  }
  return joined;
}

Value Evaluator::eval_math(const Expr& expr, Scope& scope) {
  Value value = eval(*expr.items[0], scope);
  for (size_t i = 0; i < expr.ops.size() && !rt_.failed(); ++i) {
    const Value right = eval(*expr.items[i + 1], scope);
    if (!rt_.failed()) value = math(rt_, expr.ops[i], value, right);
  }
  return value;
}

bool Evaluator::compare(Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEq:
      return equals(rt_, a, b);
    case Op::kNe:
      return !equals(rt_, a, b);
    case Op::kLt:
      return less(rt_, a, b);
    case Op::kGt:
      return less(rt_, b, a);
    case Op::kLe:
      return less(rt_, a, b) || equals(rt_, a, b);
    case Op::kGe:
      return less(rt_, b, a) || equals(rt_, a, b);
    case Op::kIn:
      return contains(rt_, a, b);
    default:
      return !contains(rt_, a, b);
  }
}

Value Evaluator::eval_compare(const Expr& expr, Scope& scope) {
  Value left = eval(*expr.items[0], scope);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    const Value right = eval(*expr.items[i + 1], scope);
    if (rt_.failed()) return {};
    if (!compare(expr.ops[i], left, right)) return Value::boolean(false);
    left = right;
  }
  return Value::boolean(true);
}

Value Evaluator::eval_condition(const Expr& expr, Scope& scope) {
  const bool chosen = truthy(eval(*expr.items[1], scope));
  if (rt_.failed()) return {};
  if (chosen) return eval(*expr.items[0], scope);
  if (expr.items[2] != nullptr) return eval(*expr.items[2], scope);
  return rt_.undefined_text(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Evaluator::eval_filter(const Expr& expr, Scope& scope, const Value* piped) {
  Value value;
  if (expr.items[0] == nullptr) {
    value = piped != nullptr ? *piped : Value{};
  } else if (piped != nullptr && expr.items[0]->kind == ExprKind::kFilter) {
    value = eval_filter(*expr.items[0], scope, piped);
  } else {
    value = eval(*expr.items[0], scope);
  }
  if (rt_.failed()) return {};
  if (expr.filter == nullptr) {
    return rt_.fail(fmt::format("No filter named '{}' found.", expr.text));
  }
  Args args;
  eval_args(*expr.call, scope, args);
  return rt_.failed() ? Value{} : expr.filter->fn(rt_, value, args);
}

Value Evaluator::eval_test(const Expr& expr, Scope& scope) {
  const Value value = eval(*expr.items[0], scope);
  if (rt_.failed()) return {};
  if (expr.test == nullptr) return rt_.fail(fmt::format("No test named '{}' found.", expr.text));
  Args args;
  eval_args(*expr.call, scope, args);
  return rt_.failed() ? Value{} : Value::boolean(expr.test->fn(rt_, value, args));
}

void Evaluator::eval_args(const CallArgs& call, Scope& scope, Args& args) {
  args.positional.reserve(call.positional.size());
  for (const ExprPtr& arg : call.positional) args.positional.push_back(eval(*arg, scope));
  for (const auto& [name, arg] : call.named) args.named.emplace_back(name, eval(*arg, scope));
  if (call.star != nullptr) {
    std::vector<Value> items;
    const Value star = eval(*call.star, scope);
    if (!rt_.failed() && iterate(rt_, star, items)) {
      args.positional.insert(args.positional.end(), items.begin(), items.end());
    }
  }
  if (call.double_star == nullptr || rt_.failed()) return;
  const Value mapping = eval(*call.double_star, scope);
  if (rt_.failed()) return;
  if (!mapping.is_dict()) {
    rt_.fail(fmt::format("argument after ** must be a mapping, not {}", type_name(mapping)));
    return;
  }
  if (!rt_.work(4 * kCharCost * mapping.dict->items.size())) return;
  args.named.reserve(args.named.size() + mapping.dict->items.size());
  for (const auto& [key, value] : mapping.dict->items) {
    if (!key.is_string()) {
      rt_.fail("keywords must be strings");
      return;
    }
    args.named.emplace_back(key.text(), value);
  }
}

Value Evaluator::eval_call(const Expr& expr, Scope& scope, const Value* caller) {
  const Value callee = eval(*expr.items[0], scope);
  if (rt_.failed()) return {};
  Args args;
  eval_args(*expr.call, scope, args);
  if (rt_.failed()) return {};
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  const Value value = call(callee, args);
  rt_.locate(expr.pos);
  return value;
}

Value Evaluator::call(const Value& callee, Args& args) {
  switch (callee.kind) {
    case Kind::kMacro:
      return call_macro(*callee.macro, args);
    case Kind::kCallable:
      return callee.callable->fn(rt_, callee.callable->self, args);
    case Kind::kLoop:
      return call_loop(callee, args);
    case Kind::kJoiner:
      if (callee.joiner->used) return callee.joiner->separator;
      callee.joiner->used = true;
      return rt_.text("", Origin::kLiteral);
    case Kind::kUndefined:
      return rt_.fail_undefined(callee);
    default:
      return rt_.fail(fmt::format("'{}' object is not callable", type_name(callee)));
  }
}

Value Evaluator::call_macro(const Macro& macro, Args& args) {
  const MacroDef& def = *macro.def;
  if (call_depth_ >= kTemplateDepthMax) {
    return rt_.exhausted(
        fmt::format("macros call each other deeper than {} levels", kTemplateDepthMax));
  }
  Scope* scope = new_scope(macro.scope);
  const size_t n_params = def.params.size();
  if (!rt_.step(1 + n_params / kEntriesPerStep)) return {};
  const size_t n_given = std::min(args.positional.size(), n_params);
  std::vector<bool> given(n_params);
  for (size_t i = 0; i < n_given; ++i) {
    set_variable(*scope, def.params[i], args.positional[i]);
    given[i] = true;
  }
  Dict* rest = rt_.new_dict();
  bool has_caller = false;
  for (const auto& [name, value] : args.named) {
    if (!rt_.step(n_params / kEntriesPerStep)) return {};
    const auto param = std::find_if(def.params.begin(), def.params.end(),
                                    [&](NameId id) { return template_.names[id] == name; });
    if (param != def.params.end()) {
      const auto i = static_cast<size_t>(param - def.params.begin());
      if (given[i]) {
        return rt_.fail(
            fmt::format("macro '{}' got multiple values for argument '{}'", def.name, name));
      }
      given[i] = true;
      set_variable(*scope, *param, value);
    } else if (name == "caller" && def.uses_caller) {
      has_caller = true;
      set_variable(*scope, template_.caller, value);
    } else if (def.uses_kwargs) {
      set(rt_, *rest, rt_.text(name, Origin::kData), value);
    } else {
      return rt_.fail(fmt::format("macro '{}' takes no keyword argument '{}'", def.name, name));
    }
  }
  if (args.positional.size() > n_params && !def.uses_varargs) {
    return rt_.fail(
        fmt::format("macro '{}' takes not more than {} argument(s)", def.name, n_params));
  }
  if (def.uses_caller && !has_caller) {
    set_variable(*scope, template_.caller, rt_.undefined_text("No caller defined"));
  }
  if (def.uses_kwargs) set_variable(*scope, template_.kwargs, Value::of(rest));
  if (def.uses_varargs) {
    std::vector<Value> more(args.positional.begin() + static_cast<ptrdiff_t>(n_given),
                            args.positional.end());
    set_variable(*scope, template_.varargs, rt_.list(Kind::kTuple, std::move(more)));
  }
  ++call_depth_;
  const size_t first_default = n_params - def.defaults.size();
  for (size_t i = 0; i < n_params && !rt_.failed(); ++i) {
    if (given[i]) continue;
    set_variable(*scope, def.params[i],
                 i >= first_default
                     ? eval(*def.defaults[i - first_default], *scope)
                     : rt_.undefined_text(fmt::format("parameter '{}' was not provided",
                                                      template_.names[def.params[i]])));
  }
  const Value text = render_body(def.body, *scope);
  --call_depth_;
  return text;
}

Value Evaluator::call_loop(const Value& self, Args& args) {
  const Loop& loop = *self.loop;
  if (loop.statement == nullptr) {
    return rt_.fail("The loop must have the 'recursive' marker to be called recursively.");
  }
  Value items;
  if (!bind(rt_, "loop", args, {"iterable"}, 1, &items)) return {};
  if (call_depth_ >= kTemplateDepthMax) {
    return rt_.exhausted(fmt::format("a loop recurses deeper than {} levels", kTemplateDepthMax));
  }
  ++call_depth_;
  StrBuilder out(rt_);
  run_loop(*loop.statement, items, *loop.scope, loop.depth0 + 1, out);
  --call_depth_;
  return out.finish_value();
}

}  // namespace maru::text::jinja
