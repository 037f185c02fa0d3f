#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/parser_internal.h"

namespace maru::text::jinja {

Token Parser::take() {
  const Token token = now();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_op(std::string_view op) {
  if (!now().is_op(op)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!now().is_name(name)) return false;
  take();
  return true;
}

bool Parser::expect_op(std::string_view op) {
  if (skip_op(op)) return true;
  fail(now().pos, fmt::format("expected token '{}', got '{}'", op, describe(now())));
  return false;
}

bool Parser::expect_name(std::string_view name) {
  if (skip_name(name)) return true;
  fail(now().pos, fmt::format("expected token '{}', got '{}'", name, describe(now())));
  return false;
}

bool Parser::expect(TokenKind kind) {
  if (now().is(kind)) {
    take();
    return true;
  }
  const std::string_view wanted =
      kind == TokenKind::kVariableEnd ? "end of print statement" : "end of statement block";
  fail(now().pos, fmt::format("expected token '{}', got '{}'", wanted, describe(now())));
  return false;
}

std::string Parser::expect_any_name() {
  if (now().is(TokenKind::kName)) return take().text;
  fail(now().pos, fmt::format("expected token 'name', got '{}'", describe(now())));
  return {};
}

void Parser::fail(Pos pos, std::string_view message) {
  if (!error_) error_ = syntax_error(pos, message);
  at_ = tokens_.size() - 1;
}

void Parser::fail_depth() {
  if (!error_) {
    error_ = Error::exhausted(
        fmt::format("chat template, line {}, column {}: nested deeper than {} levels",
                    now().pos.line, now().pos.column, kTemplateDepthMax));
  }
  at_ = tokens_.size() - 1;
}

NameId Parser::intern(std::string_view name) {
  const auto it = template_->name_ids.find(name);
  if (it != template_->name_ids.end()) return it->second;
  const auto id = static_cast<NameId>(template_->names.size());
  template_->names.emplace_back(name);
  template_->name_ids.emplace(std::string(name), id);
  return id;
}

Value Parser::constant_text(std::string text) {
  const auto n = static_cast<uint32_t>(text.size());
  Buf& buf = template_->constants.emplace_back(Buf::frozen(std::move(text), Origin::kLiteral));
  return Value::string({&buf, 0, n});
}

Result<std::unique_ptr<Template>> Parser::run() {
  template_->loop = intern("loop");
  template_->caller = intern("caller");
  template_->varargs = intern("varargs");
  template_->kwargs = intern("kwargs");
  parse_body(template_->body, {});
  if (error_) return std::move(*error_);
  if (!unknown_.empty()) return std::move(unknown_.front());
  return std::move(template_);
}

void Parser::parse_body(Body& body, const Words& end_words) {
  Depth depth(*this);
  const auto output = [&body](Pos pos) -> Stmt& {
    if (body.empty() || body.back()->kind != StmtKind::kOutput) {
      body.push_back(std::make_unique<Stmt>(Stmt{.kind = StmtKind::kOutput, .pos = pos}));
    }
    return *body.back();
  };
  while (!failed() && !now().is(TokenKind::kEnd)) {
    const Pos pos = now().pos;
    if (now().is(TokenKind::kText)) {
      body.push_back(std::make_unique<Stmt>(Stmt{.kind = StmtKind::kText, .pos = pos}));
      body.back()->text = constant_text(take().text);
    } else if (now().is(TokenKind::kVariableBegin)) {
      take();
      output(pos).exprs.push_back(parse_tuple({}));
      expect(TokenKind::kVariableEnd);
    } else {
      if (!now().is(TokenKind::kBlockBegin)) return fail(pos, "unexpected token");
      take();
      const Token& word = now();
      if (word.is(TokenKind::kName) &&
          std::find(end_words.begin(), end_words.end(), word.text) != end_words.end()) {
        return;
      }
      std::unique_ptr<Stmt> statement = parse_statement();
      if (failed()) return;
      body.push_back(std::move(statement));
      expect(TokenKind::kBlockEnd);
    }
  }
  if (!end_words.empty() && !failed()) {
    fail(now().pos, fmt::format("Unexpected end of template, '{}' is missing.", end_words.back()));
  }
}

void Parser::parse_block(Body& body, const Words& end_words, bool drop_end) {
  skip_op(":");
  if (!expect(TokenKind::kBlockEnd)) return;
  parse_body(body, end_words);
  if (drop_end) take();
}

std::unique_ptr<Stmt> Parser::parse_statement() {
  const Token word = now();
  if (!word.is(TokenKind::kName)) {
    fail(word.pos, "tag name expected");
    return nullptr;
  }
  if (word.text == "if") return parse_if();
  if (word.text == "for") return parse_for();
  if (word.text == "set") return parse_set();
  if (word.text == "macro") return parse_macro();
  if (word.text == "call") return parse_call_block();
  if (word.text == "filter") return parse_filter_block();
  if (word.text == "with") return parse_with();
  if (word.text == "print") return parse_print();
  if (word.text == "generation") return parse_scope("endgeneration");
  if (word.text == "block") return parse_named_block();
  if (word.text == "break" || word.text == "continue") {
    if (!frame_.in_loop) fail(word.pos, fmt::format("'{}' outside loop", word.text));
    take();
    const StmtKind kind = word.text == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    return std::make_unique<Stmt>(Stmt{.kind = kind, .pos = word.pos});
  }
  fail(word.pos, fmt::format("Encountered unknown tag '{}'.", word.text));
  return nullptr;
}

std::unique_ptr<Stmt> Parser::parse_if() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kIf, .pos = now().pos});
  const bool outer_soft = frame_.soft;
  frame_.soft = true;
  while (!failed()) {
    take();  // if, elif
    Branch branch;
    branch.test = parse_tuple({.with_condition = false});
    parse_block(branch.body, {"elif", "else", "endif"}, false);
    made->branches.push_back(std::move(branch));
    if (!now().is_name("elif")) break;
  }
  if (skip_name("else")) {
    parse_block(made->else_body, {"endif"}, true);
  } else {
    expect_name("endif");
  }
  frame_.soft = outer_soft;
  return made;
}

std::unique_ptr<Stmt> Parser::parse_for() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kFor, .pos = take().pos});
  made->targets.push_back(parse_target("in", false));
  expect_name("in");
  made->exprs.push_back(parse_tuple({.with_condition = false, .end_word = "recursive"}));
  if (skip_name("if")) made->test = parse_expression();
  made->recursive = skip_name("recursive");
  const Frame outer = frame_;
  frame_ = {.soft = false, .in_loop = true};
  parse_block(made->body, {"else", "endfor"}, false);
  frame_ = {.soft = false, .in_loop = outer.in_loop};
  if (skip_name("else")) {
    parse_block(made->else_body, {"endfor"}, true);
  } else {
    expect_name("endfor");
  }
  frame_ = outer;
  return made;
}

std::unique_ptr<Stmt> Parser::parse_set() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kSet, .pos = take().pos});
  made->targets.push_back(parse_target({}, true));
  if (skip_op("=")) {
    made->exprs.push_back(parse_tuple({}));
    return made;
  }
  made->kind = StmtKind::kSetBlock;
  made->exprs.push_back(now().is_op("|") ? parse_filters(nullptr, false) : nullptr);
  const Frame outer = frame_;
  frame_ = {};
  parse_block(made->body, {"endset"}, true);
  frame_ = outer;
  return made;
}

void Parser::parse_signature(MacroDef& macro) {
  expect_op("(");
  while (!now().is_op(")") && !failed()) {
    if (!macro.params.empty() && !expect_op(",")) return;
    const Pos pos = now().pos;
    macro.params.push_back(intern(expect_any_name()));
    if (skip_op("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail(pos, "non-default argument follows default argument");
    }
  }
  expect_op(")");
}

void Parser::parse_macro_body(MacroDef& macro, std::string_view end_word) {
  const Frame outer = frame_;
  frame_ = {};
  macros_.push_back(&macro);
  parse_block(macro.body, {end_word}, true);
  macros_.pop_back();
  frame_ = outer;
}

std::unique_ptr<Stmt> Parser::parse_macro() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kMacro, .pos = take().pos});
  made->macro = std::make_unique<MacroDef>();
  made->macro->name = expect_any_name();
  made->macro->name_id = intern(made->macro->name);
  parse_signature(*made->macro);
  parse_macro_body(*made->macro, "endmacro");
  return made;
}

std::unique_ptr<Stmt> Parser::parse_call_block() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kCallBlock, .pos = take().pos});
  made->macro = std::make_unique<MacroDef>();
  made->macro->name = "caller";
  made->macro->name_id = template_->caller;
  if (now().is_op("(")) parse_signature(*made->macro);
  made->exprs.push_back(parse_expression());
  if (!failed() && made->exprs[0]->kind != ExprKind::kCall) fail(made->pos, "expected call");
  parse_macro_body(*made->macro, "endcall");
  return made;
}

std::unique_ptr<Stmt> Parser::parse_filter_block() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kFilterBlock, .pos = take().pos});
  made->exprs.push_back(parse_filters(nullptr, true));
  const Frame outer = frame_;
  frame_ = {};
  parse_block(made->body, {"endfilter"}, true);
  frame_ = outer;
  return made;
}

std::unique_ptr<Stmt> Parser::parse_with() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kWith, .pos = take().pos});
  while (!now().is(TokenKind::kBlockEnd) && !failed()) {
    if (!made->targets.empty() && !expect_op(",")) break;
    made->targets.push_back(parse_target({}, false));
    expect_op("=");
    made->exprs.push_back(parse_expression());
  }
  const Frame outer = frame_;
  frame_.soft = false;
  parse_block(made->body, {"endwith"}, true);
  frame_ = outer;
  return made;
}

std::unique_ptr<Stmt> Parser::parse_print() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kOutput, .pos = take().pos});
  while (!now().is(TokenKind::kBlockEnd) && !failed()) {
    if (!made->exprs.empty() && !expect_op(",")) break;
    made->exprs.push_back(parse_expression());
  }
  return made;
}

std::unique_ptr<Stmt> Parser::parse_scope(std::string_view end_word) {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kScope, .pos = take().pos});
  const Frame outer = frame_;
  frame_ = {};
  parse_block(made->body, {end_word}, true);
  frame_ = outer;
  return made;
}

std::unique_ptr<Stmt> Parser::parse_named_block() {
  auto made = std::make_unique<Stmt>(Stmt{.kind = StmtKind::kScope, .pos = take().pos});
  const std::string name = expect_any_name();
  skip_name("scoped");
  skip_name("required");
  const Frame outer = frame_;
  frame_ = {};
  parse_block(made->body, {"endblock"}, true);
  skip_name(name);
  frame_ = outer;
  return made;
}

Result<std::unique_ptr<Template>> parse_template(std::string_view source) {
  if (source.size() > kTemplateBytesMax) {
    return Error::exhausted(fmt::format("the chat template has {} bytes, more than {}",
                                        source.size(), kTemplateBytesMax));
  }
  MARU_TRY(tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace maru::text::jinja
