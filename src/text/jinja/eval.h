// text/jinja/eval.h - walks a Template and writes its text.
//
// ChatTemplate::render() makes one Evaluator per render.
// Threads: one render, one thread.
#pragma once
#include "text/jinja/ast.h"
#include "text/jinja/loop.h"
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

// Nested expressions and statements being evaluated, through macros too. One level takes well
// under 1 KiB of stack (chat_template_test.cc goes to the limit under the sanitizers).
inline constexpr size_t kEvalDepthMax = 1000;

class Evaluator {
 public:
  Evaluator(Runtime& rt, const Template& source)
      : rt_(rt), template_(source), inputs_(source.names.size()), has_input_(source.names.size()) {}

  // A variable of the outermost scope.
  void define(std::string_view name, const Value& value);
  // The template's text; check rt.failed() first.
  const Buf& run();

 private:
  enum class Flow { kNormal, kBreak, kContinue };

  // Counts recursion while it lives.
  class Depth {
   public:
    explicit Depth(Evaluator& e) : e_(e), ok_(e.enter()) {}
    ~Depth() { --e_.depth_; }
    bool ok() const { return ok_; }

   private:
    Evaluator& e_;
    bool ok_;
  };
  bool enter();

  // Statements (eval.cc).
  Flow exec_body(const Body& body, Scope& scope, StrBuilder& out);
  Flow exec(const Stmt& stmt, Scope& scope, StrBuilder& out);
  Flow exec_if(const Stmt& stmt, Scope& scope, StrBuilder& out);
  Flow exec_for(const Stmt& stmt, Scope& scope, StrBuilder& out);
  void run_loop(const Stmt& stmt, const Value& items, Scope& scope, size_t depth0, StrBuilder& out);
  void exec_set_block(const Stmt& stmt, Scope& scope);
  void exec_call_block(const Stmt& stmt, Scope& scope, StrBuilder& out);
  void exec_with(const Stmt& stmt, Scope& scope, StrBuilder& out);
  void assign(const Expr& target, const Value& value, Scope& scope);
  Value render_body(const Body& body, Scope& scope);
  Scope* new_scope(Scope* parent);
  void set_variable(Scope& scope, NameId name, const Value& value);
  Value lookup(const Scope& scope, NameId name);

  // Expressions (eval_expr.cc).
  Value eval(const Expr& expr, Scope& scope);
  Value eval_inner(const Expr& expr, Scope& scope);
  Value eval_items(const Expr& expr, Scope& scope, Kind kind);
  Value eval_dict(const Expr& expr, Scope& scope);
  Value eval_slice(const Expr& expr, Scope& scope);
  Value eval_logic(const Expr& expr, Scope& scope);
  Value eval_concat(const Expr& expr, Scope& scope);
  Value eval_math(const Expr& expr, Scope& scope);
  Value eval_compare(const Expr& expr, Scope& scope);
  bool compare(Op op, const Value& a, const Value& b);
  Value eval_condition(const Expr& expr, Scope& scope);
  // A filter chain may start at `piped` instead of an expression.
  Value eval_filter(const Expr& expr, Scope& scope, const Value* piped);
  Value eval_test(const Expr& expr, Scope& scope);
  Value eval_call(const Expr& expr, Scope& scope, const Value* caller);
  void eval_args(const CallArgs& call, Scope& scope, Args& args);
  Value call(const Value& callee, Args& args);
  Value call_macro(const Macro& macro, Args& args);
  Value call_loop(const Value& loop, Args& args);

  Runtime& rt_;
  const Template& template_;
  size_t depth_ = 0;
  size_t call_depth_ = 0;
  Scope root_;                 // the template's own variables
  std::vector<Value> inputs_;  // by NameId: what render() was given, and globals
  std::vector<bool> has_input_;
};

}  // namespace maru::text::jinja
