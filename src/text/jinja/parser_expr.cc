// text/jinja/parser_expr.cc - the parser's second half: expressions, by precedence.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/parser_internal.h"
#include "text/jinja/tests.h"

namespace maru::text::jinja {

ExprPtr Parser::node(ExprKind kind, Pos pos) const {
  auto made = std::make_unique<Expr>();
  made->kind = kind;
  made->pos = pos;
  return made;
}

// For loops that nest a node in the next one: a.b.c, x|f|g.
bool Parser::deeper(size_t& n_links) {
  if (depth_ + ++n_links > kTemplateDepthMax) fail_depth();
  return !failed();
}

void Parser::use_name(NameId name) {
  for (MacroDef* macro : macros_) {
    macro->uses_caller |= name == template_->caller;
    macro->uses_varargs |= name == template_->varargs;
    macro->uses_kwargs |= name == template_->kwargs;
  }
}

bool Parser::at_tuple_end(const TupleOptions& options) const {
  const Token& t = now();
  return t.is(TokenKind::kVariableEnd) || t.is(TokenKind::kBlockEnd) || t.is(TokenKind::kEnd) ||
         t.is_op(")") || (!options.end_word.empty() && t.is_name(options.end_word));
}

ExprPtr Parser::parse_tuple(const TupleOptions& options) {
  Depth depth(*this);
  ExprPtr tuple = node(ExprKind::kTuple, now().pos);
  bool is_tuple = false;
  while (!failed()) {
    if (!tuple->items.empty() && !expect_op(",")) break;
    if (at_tuple_end(options)) break;
    tuple->items.push_back(options.targets_only ? parse_primary(true)
                                                : parse_expression(options.with_condition));
    if (!now().is_op(",")) break;
    is_tuple = true;
  }
  if (failed()) return tuple;
  if (!is_tuple && !tuple->items.empty()) return std::move(tuple->items.front());
  if (!is_tuple && !options.parentheses) {
    fail(now().pos, fmt::format("Expected an expression, got '{}'", describe(now())));
  }
  return tuple;
}

ExprPtr Parser::parse_target(std::string_view end_word, bool with_namespace) {
  ExprPtr target = parse_tuple({.targets_only = true, .end_word = end_word});
  if (!failed()) check_target(*target, with_namespace);
  return target;
}

bool Parser::check_target(const Expr& target, bool with_namespace) {
  if (target.kind == ExprKind::kTuple) {
    return std::all_of(target.items.begin(), target.items.end(), [&](const ExprPtr& item) {
      return item != nullptr && check_target(*item, with_namespace);
    });
  }
  if (target.kind == ExprKind::kName) return true;
  if (target.kind == ExprKind::kNamespaceRef && with_namespace) return true;
  fail(target.pos, "can't assign to this expression");
  return false;
}

ExprPtr Parser::parse_expression(bool with_condition) {
  Depth depth(*this);
  if (failed()) return node(ExprKind::kConstant, now().pos);
  if (!with_condition) return parse_or();
  const size_t n_unknown = unknown_.size();
  ExprPtr value = parse_or();
  size_t n_links = 0;
  while (now().is_name("if") && deeper(n_links)) {
    ExprPtr condition = node(ExprKind::kCondition, take().pos);
    condition->items.push_back(std::move(value));
    condition->items.push_back(parse_or());
    condition->items.push_back(skip_name("else") ? parse_expression() : nullptr);
    value = std::move(condition);
  }
  // Filters and tests within a conditional are refused only when they are reached.
  if (n_links > 0)
    unknown_.erase(unknown_.begin() + static_cast<ptrdiff_t>(n_unknown), unknown_.end());
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  if (!now().is_name("or")) return left;
  ExprPtr chain = node(ExprKind::kOr, now().pos);
  chain->items.push_back(std::move(left));
  while (skip_name("or")) chain->items.push_back(parse_and());
  return chain;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  if (!now().is_name("and")) return left;
  ExprPtr chain = node(ExprKind::kAnd, now().pos);
  chain->items.push_back(std::move(left));
  while (skip_name("and")) chain->items.push_back(parse_not());
  return chain;
}

ExprPtr Parser::parse_not() {
  if (!now().is_name("not")) return parse_compare();
  Depth depth(*this);
  if (failed()) return node(ExprKind::kConstant, now().pos);
  ExprPtr made = node(ExprKind::kNot, take().pos);
  made->items.push_back(parse_not());
  return made;
}

std::optional<Op> Parser::skip_compare_op() {
  if (now().is_name("in")) {
    take();
    return Op::kIn;
  }
  if (now().is_name("not") && ahead().is_name("in")) {
    take();
    take();
    return Op::kNotIn;
  }
  constexpr std::pair<std::string_view, Op> kOps[] = {{"==", Op::kEq}, {"!=", Op::kNe},
                                                      {"<", Op::kLt},  {"<=", Op::kLe},
                                                      {">", Op::kGt},  {">=", Op::kGe}};
  for (const auto& [text, op] : kOps) {
    if (skip_op(text)) return op;
  }
  return std::nullopt;
}

ExprPtr Parser::parse_compare() {
  const Pos pos = now().pos;
  ExprPtr left = parse_sum();
  std::optional<Op> op = skip_compare_op();
  if (!op) return left;
  ExprPtr chain = node(ExprKind::kCompare, pos);
  chain->items.push_back(std::move(left));
  for (; op && !failed(); op = skip_compare_op()) {
    chain->ops.push_back(*op);
    chain->items.push_back(parse_sum());
  }
  return chain;
}

ExprPtr Parser::parse_sum() {
  const Pos pos = now().pos;
  ExprPtr left = parse_concat();
  if (!now().is_op("+") && !now().is_op("-")) return left;
  ExprPtr chain = node(ExprKind::kMath, pos);
  chain->items.push_back(std::move(left));
  while ((now().is_op("+") || now().is_op("-")) && !failed()) {
    chain->ops.push_back(take().text == "+" ? Op::kAdd : Op::kSub);
    chain->items.push_back(parse_concat());
  }
  return chain;
}

ExprPtr Parser::parse_concat() {
  const Pos pos = now().pos;
  ExprPtr left = parse_product();
  if (!now().is_op("~")) return left;
  ExprPtr chain = node(ExprKind::kConcat, pos);
  chain->items.push_back(std::move(left));
  while (skip_op("~")) chain->items.push_back(parse_product());
  return chain;
}

ExprPtr Parser::parse_product() {
  const Pos pos = now().pos;
  ExprPtr left = parse_power();
  constexpr std::pair<std::string_view, Op> kOps[] = {
      {"*", Op::kMul}, {"/", Op::kDiv}, {"//", Op::kFloorDiv}, {"%", Op::kMod}};
  ExprPtr chain;
  for (bool found = true; found && !failed();) {
    found = false;
    for (const auto& [text, op] : kOps) {
      if (!skip_op(text)) continue;
      if (chain == nullptr) {
        chain = node(ExprKind::kMath, pos);
        chain->items.push_back(std::move(left));
      }
      chain->ops.push_back(op);
      chain->items.push_back(parse_power());
      found = true;
      break;
    }
  }
  return chain != nullptr ? std::move(chain) : std::move(left);
}

// Jinja chains ** from the left, unlike Python.
ExprPtr Parser::parse_power() {
  const Pos pos = now().pos;
  ExprPtr left = parse_unary(true);
  if (!now().is_op("**")) return left;
  ExprPtr chain = node(ExprKind::kMath, pos);
  chain->items.push_back(std::move(left));
  while (skip_op("**")) {
    chain->ops.push_back(Op::kPow);
    chain->items.push_back(parse_unary(true));
  }
  return chain;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  Depth depth(*this);
  if (failed()) return node(ExprKind::kConstant, now().pos);
  ExprPtr value;
  if (now().is_op("-") || now().is_op("+")) {
    const Token sign = take();
    value = node(sign.text == "-" ? ExprKind::kNegate : ExprKind::kPlus, sign.pos);
    value->items.push_back(parse_unary(false));
  } else {
    value = parse_primary(false);
  }
  value = parse_postfix(std::move(value));
  return with_filter ? parse_filter_expr(std::move(value)) : std::move(value);
}

ExprPtr Parser::parse_string(Pos pos) {
  std::string text = take().text;
  while (now().is(TokenKind::kString)) text += take().text;
  ExprPtr made = node(ExprKind::kConstant, pos);
  made->constant = constant_text(std::move(text));
  return made;
}

ExprPtr Parser::parse_primary(bool is_target) {
  const Pos pos = now().pos;
  ExprPtr constant = node(ExprKind::kConstant, pos);
  switch (now().kind) {
    case TokenKind::kString:
      return parse_string(pos);
    case TokenKind::kInt:
      constant->constant = Value::integer(take().integer, Origin::kLiteral);
      return constant;
    case TokenKind::kFloat:
      constant->constant = Value::real(take().real, Origin::kLiteral);
      return constant;
    case TokenKind::kName:
      break;
    default: {
      if (skip_op("(")) {
        ExprPtr inner = parse_tuple({.parentheses = true});
        expect_op(")");
        return inner;
      }
      if (now().is_op("[")) return parse_list();
      if (now().is_op("{")) return parse_dict();
      fail(pos, now().is(TokenKind::kEnd) ? std::string("unexpected end of template")
                                          : fmt::format("unexpected '{}'", describe(now())));
      return constant;
    }
  }
  const std::string name = take().text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    constant->constant = Value::boolean(name == "true" || name == "True");
    return constant;
  }
  if (name == "none" || name == "None") {
    constant->constant = Value::none();
    return constant;
  }
  ExprPtr made = node(ExprKind::kName, pos);
  made->text = name;
  made->name = intern(name);
  if (is_target && skip_op(".")) {
    made->kind = ExprKind::kNamespaceRef;
    made->text = expect_any_name();
    made->text_value = constant_text(made->text);
  } else if (!is_target) {
    use_name(made->name);
  }
  return made;
}

ExprPtr Parser::parse_list() {
  ExprPtr list = node(ExprKind::kList, take().pos);
  while (!now().is_op("]") && !failed()) {
    if (!list->items.empty() && !expect_op(",")) break;
    if (now().is_op("]")) break;
    list->items.push_back(parse_expression());
  }
  expect_op("]");
  return list;
}

ExprPtr Parser::parse_dict() {
  ExprPtr dict = node(ExprKind::kDict, take().pos);
  while (!now().is_op("}") && !failed()) {
    if (!dict->items.empty() && !expect_op(",")) break;
    if (now().is_op("}")) break;
    dict->items.push_back(parse_expression());
    expect_op(":");
    dict->items.push_back(parse_expression());
  }
  expect_op("}");
  return dict;
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  for (size_t n_links = 0; !failed();) {
    if (now().is_op(".") || now().is_op("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (now().is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      break;
    }
    deeper(n_links);
  }
  return expr;
}

ExprPtr Parser::parse_filter_expr(ExprPtr expr) {
  for (size_t n_links = 0; !failed();) {
    if (now().is_op("|")) {
      take();
      expr = parse_one_filter(std::move(expr));
    } else if (now().is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (now().is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      break;
    }
    deeper(n_links);
  }
  return expr;
}

ExprPtr Parser::parse_subscript(ExprPtr expr) {
  const Token open = take();
  if (open.text == ".") {
    if (now().is(TokenKind::kInt)) {
      ExprPtr made = node(ExprKind::kGetitem, open.pos);
      ExprPtr index = node(ExprKind::kConstant, now().pos);
      index->constant = Value::integer(take().integer, Origin::kLiteral);
      made->items.push_back(std::move(expr));
      made->items.push_back(std::move(index));
      return made;
    }
    ExprPtr made = node(ExprKind::kGetattr, open.pos);
    if (!now().is(TokenKind::kName)) fail(now().pos, "expected name or number");
    made->items.push_back(std::move(expr));
    made->text = take().text;
    made->text_value = constant_text(made->text);
    return made;
  }
  ExprPtr made = node(ExprKind::kGetitem, open.pos);
  made->items.push_back(std::move(expr));
  ExprPtr first = now().is_op(":") ? nullptr : parse_expression();
  if (!now().is_op(":")) {
    if (now().is_op(",")) {
      ExprPtr tuple = node(ExprKind::kTuple, open.pos);
      tuple->items.push_back(std::move(first));
      while (skip_op(",")) tuple->items.push_back(parse_expression());
      first = std::move(tuple);
    }
    made->items.push_back(std::move(first));
  } else {
    made->kind = ExprKind::kSlice;
    made->items.push_back(std::move(first));
    for (int i = 0; i < 2; ++i) {
      const bool has_part = skip_op(":") && !now().is_op(":") && !now().is_op("]");
      made->items.push_back(has_part ? parse_expression() : nullptr);
    }
  }
  expect_op("]");
  return made;
}

ExprPtr Parser::parse_call(ExprPtr expr) {
  ExprPtr made = node(ExprKind::kCall, now().pos);
  made->items.push_back(std::move(expr));
  made->call = parse_call_args();
  return made;
}

std::unique_ptr<CallArgs> Parser::parse_call_args() {
  auto args = std::make_unique<CallArgs>();
  const Pos pos = now().pos;
  expect_op("(");
  bool valid = true;
  for (bool first = true; !now().is_op(")") && !failed() && valid; first = false) {
    if (!first && !expect_op(",")) break;
    if (now().is_op(")")) break;
    if (skip_op("*")) {
      valid = args->star == nullptr && args->double_star == nullptr;
      args->star = parse_expression();
    } else if (skip_op("**")) {
      valid = args->double_star == nullptr;
      args->double_star = parse_expression();
    } else if (now().is(TokenKind::kName) && ahead().is_op("=")) {
      valid = args->double_star == nullptr;
      std::string name = take().text;
      take();
      args->named.emplace_back(std::move(name), parse_expression());
    } else {
      valid = args->star == nullptr && args->double_star == nullptr && args->named.empty();
      args->positional.push_back(parse_expression());
    }
  }
  if (!valid) fail(pos, "invalid syntax for function call expression");
  expect_op(")");
  return args;
}

ExprPtr Parser::parse_filters(ExprPtr expr, bool first_without_pipe) {
  for (size_t n_links = 0; !failed() && (first_without_pipe || skip_op("|"));) {
    first_without_pipe = false;
    expr = parse_one_filter(std::move(expr));
    deeper(n_links);
  }
  return expr;
}

ExprPtr Parser::parse_one_filter(ExprPtr expr) {
  ExprPtr made = node(ExprKind::kFilter, now().pos);
  made->text = expect_any_name();
  while (skip_op(".")) made->text += "." + expect_any_name();
  made->filter = find_filter(made->text);
  if (made->filter == nullptr && !frame_.soft) {
    unknown_.push_back(syntax_error(made->pos, fmt::format("No filter named '{}'.", made->text)));
  }
  made->items.push_back(std::move(expr));
  made->call = now().is_op("(") ? parse_call_args() : std::make_unique<CallArgs>();
  return made;
}

ExprPtr Parser::parse_test(ExprPtr expr) {
  const Pos pos = take().pos;
  const bool negated = skip_name("not");
  ExprPtr made = node(ExprKind::kTest, pos);
  made->text = expect_any_name();
  while (skip_op(".")) made->text += "." + expect_any_name();
  made->test = find_test(made->text);
  if (made->test == nullptr && !frame_.soft) {
    unknown_.push_back(syntax_error(pos, fmt::format("No test named '{}'.", made->text)));
  }
  made->items.push_back(std::move(expr));
  const Token& next = now();
  const bool starts_value = next.is(TokenKind::kName) || next.is(TokenKind::kString) ||
                            next.is(TokenKind::kInt) || next.is(TokenKind::kFloat) ||
                            next.is_op("[") || next.is_op("{");
  if (next.is_op("(")) {
    made->call = parse_call_args();
  } else {
    made->call = std::make_unique<CallArgs>();
    if (next.is_name("is")) fail(next.pos, "You cannot chain multiple tests with is");
    if (starts_value && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) {
      Depth depth(*this);
      if (!failed()) made->call->positional.push_back(parse_postfix(parse_primary(false)));
    }
  }
  if (!negated) return made;
  ExprPtr inverse = node(ExprKind::kNot, pos);
  inverse->items.push_back(std::move(made));
  return inverse;
}

}  // namespace maru::text::jinja
