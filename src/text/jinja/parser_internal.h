// text/jinja/parser_internal.h - the parser's state, shared by its two halves: parser.cc
// (statements) and parser_expr.cc (expressions).
//
// Errors are sticky: the first one moves the cursor to the end, after which every loop stops.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace maru::text::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens)
      : tokens_(std::move(tokens)), template_(std::make_unique<Template>()) {}
  Result<std::unique_ptr<Template>> run();

 private:
  // What of Jinja's code generation decides whether names are checked early.
  struct Frame {
    bool soft = false;     // below an if: unknown filters fail when reached
    bool in_loop = false;  // break and continue are allowed
  };
  // Counts nesting while it lives.
  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kTemplateDepthMax) parser_.fail_depth();
    }
    ~Depth() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  // Cursor.
  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take();
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  bool expect_op(std::string_view op);
  bool expect_name(std::string_view name);
  bool expect(TokenKind kind);
  std::string expect_any_name();
  void fail(Pos pos, std::string_view message);
  void fail_depth();
  bool failed() const { return error_.has_value(); }

  NameId intern(std::string_view name);
  Value constant_text(std::string text);

  // Statements (parser.cc).
  using Words = std::vector<std::string_view>;
  void parse_body(Body& body, const Words& end_words);
  // Body between a tag's end and one of end_words; with drop_end, past that word.
  void parse_block(Body& body, const Words& end_words, bool drop_end);
  std::unique_ptr<Stmt> parse_statement();
  std::unique_ptr<Stmt> parse_if();
  std::unique_ptr<Stmt> parse_for();
  std::unique_ptr<Stmt> parse_set();
  std::unique_ptr<Stmt> parse_macro();
  std::unique_ptr<Stmt> parse_call_block();
  std::unique_ptr<Stmt> parse_filter_block();
  std::unique_ptr<Stmt> parse_with();
  std::unique_ptr<Stmt> parse_print();
  std::unique_ptr<Stmt> parse_scope(std::string_view end_word);
  std::unique_ptr<Stmt> parse_named_block();
  void parse_signature(MacroDef& macro);
  void parse_macro_body(MacroDef& macro, std::string_view end_word);

  // Expressions (parser_expr.cc).
  struct TupleOptions {
    bool targets_only = false;    // names and literals only
    bool with_condition = true;   // allow "a if b else c"
    bool parentheses = false;     // empty is a valid tuple
    std::string_view end_word{};  // a name that ends it ("in", "recursive")
  };
  ExprPtr node(ExprKind kind, Pos pos) const;
  ExprPtr parse_tuple(const TupleOptions& options);
  bool at_tuple_end(const TupleOptions& options) const;
  ExprPtr parse_target(std::string_view end_word, bool with_namespace);
  bool check_target(const Expr& target, bool with_namespace);
  ExprPtr parse_expression(bool with_condition = true);
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  std::optional<Op> skip_compare_op();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter);
  ExprPtr parse_primary(bool is_target);
  ExprPtr parse_string(Pos pos);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filter_expr(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_filters(ExprPtr expr, bool first_without_pipe);
  ExprPtr parse_one_filter(ExprPtr expr);
  ExprPtr parse_test(ExprPtr expr);
  ExprPtr parse_call(ExprPtr expr);
  std::unique_ptr<CallArgs> parse_call_args();
  bool deeper(size_t& n_links);
  void use_name(NameId name);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  size_t depth_ = 0;
  std::optional<Error> error_;
  Frame frame_;
  std::vector<Error> unknown_;     // filters and tests that do not exist, outside of conditionals
  std::vector<MacroDef*> macros_;  // the ones around this place, innermost last
  std::unique_ptr<Template> template_;
};

}  // namespace maru::text::jinja
