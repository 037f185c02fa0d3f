#include "text/jinja/eval.h"

#include <fmt/format.h>

#include "text/jinja/access.h"
#include "text/jinja/convert.h"

namespace maru::text::jinja {

bool Evaluator::enter() {
  if (++depth_ > kEvalDepthMax) {
    rt_.exhausted(fmt::format("evaluation is nested deeper than {} levels", kEvalDepthMax));
  }
  return rt_.step();
}

void Evaluator::define(std::string_view name, const Value& value) {
  const auto it = template_.name_ids.find(name);
  if (it == template_.name_ids.end()) return;
  inputs_[it->second] = value;
  has_input_[it->second] = true;
}

const Buf& Evaluator::run() {
  StrBuilder out(rt_);
  exec_body(template_.body, root_, out);
  return out.buf();
}

Scope* Evaluator::new_scope(Scope* parent) { return rt_.keep(Scope{parent, {}}); }

void Evaluator::set_variable(Scope& scope, NameId name, const Value& value) {
  if (!rt_.step(scope.variables.size() / kEntriesPerStep / 4)) return;
  for (auto& [known, old] : scope.variables) {
    if (known == name) {
      old = value;
      return;
    }
  }
  if (rt_.charge_memory(2 * sizeof(scope.variables[0]))) {
    scope.variables.emplace_back(name, value);
  }
}

Value Evaluator::lookup(const Scope& scope, NameId name) {
  for (const Scope* s = &scope; s != nullptr; s = s->parent) {
    if (!rt_.step(s->variables.size() / kEntriesPerStep / 4)) return {};
    for (const auto& [known, value] : s->variables) {
      if (known == name) return value;
    }
  }
  if (has_input_[name]) return inputs_[name];
  return rt_.undefined_name(template_.names[name]);
}

Evaluator::Flow Evaluator::exec_body(const Body& body, Scope& scope, StrBuilder& out) {
  for (const auto& stmt : body) {
    const Flow flow = exec(*stmt, scope, out);
    if (rt_.failed()) {
      rt_.locate(stmt->pos);
      return Flow::kNormal;
    }
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::exec(const Stmt& stmt, Scope& scope, StrBuilder& out) {
  const Depth depth(*this);
  if (!depth.ok()) return Flow::kNormal;
  switch (stmt.kind) {
    case StmtKind::kText:
      out.append(stmt.text.s);
      break;
    case StmtKind::kOutput:
      for (const ExprPtr& expr : stmt.exprs) {
        const Value value = eval(*expr, scope);
        append_str(rt_, out, value);
        rt_.locate(expr->pos);
      }
      break;
    case StmtKind::kIf:
      return exec_if(stmt, scope, out);
    case StmtKind::kFor:
      return exec_for(stmt, scope, out);
    case StmtKind::kSet: {
      const Value value = eval(*stmt.exprs[0], scope);
      if (!rt_.failed()) assign(*stmt.targets[0], value, scope);
      break;
    }
    case StmtKind::kSetBlock:
      exec_set_block(stmt, scope);
      break;
    case StmtKind::kMacro: {
      Value macro;
      macro.kind = Kind::kMacro;
      macro.macro = rt_.keep(Macro{stmt.macro.get(), &scope});
      set_variable(scope, stmt.macro->name_id, macro);
      break;
    }
    case StmtKind::kCallBlock:
      exec_call_block(stmt, scope, out);
      break;
    case StmtKind::kFilterBlock: {
      const Value body = render_body(stmt.body, *new_scope(&scope));
      append_str(rt_, out, eval_filter(*stmt.exprs[0], scope, &body));
      break;
    }
    case StmtKind::kWith:
      exec_with(stmt, scope, out);
      break;
    case StmtKind::kScope:
      return exec_body(stmt.body, *new_scope(&scope), out);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::exec_if(const Stmt& stmt, Scope& scope, StrBuilder& out) {
  for (const Branch& branch : stmt.branches) {
    const bool chosen = truthy(eval(*branch.test, scope));
    if (rt_.failed()) return Flow::kNormal;
    if (chosen) return exec_body(branch.body, scope, out);
  }
  return exec_body(stmt.else_body, scope, out);
}

Evaluator::Flow Evaluator::exec_for(const Stmt& stmt, Scope& scope, StrBuilder& out) {
  const Value items = eval(*stmt.exprs[0], scope);
  if (!rt_.failed()) run_loop(stmt, items, scope, 0, out);
  return Flow::kNormal;
}

void Evaluator::run_loop(const Stmt& stmt, const Value& items, Scope& scope, size_t depth0,
                         StrBuilder& out) {
  Value self;
  self.kind = Kind::kLoop;
  self.loop = rt_.keep(Loop{});
  Loop& loop = *self.loop;
  loop.scope = &scope;
  loop.depth0 = depth0;
  if (stmt.recursive) loop.statement = &stmt;
  if (!iterate(rt_, items, loop.source)) return rt_.locate(stmt.exprs[0]->pos);
  if (stmt.test != nullptr) {
    Scope* test_scope = new_scope(&scope);
    loop.filter = [this, &stmt, test_scope](const Value& item) {
      assign(*stmt.targets[0], item, *test_scope);
      return truthy(eval(*stmt.test, *test_scope));
    };
  }
  Scope* inner = new_scope(&scope);
  while (!rt_.failed() && advance(rt_, loop)) {
    inner->variables.clear();
    set_variable(*inner, template_.loop, self);
    assign(*stmt.targets[0], loop.current, *inner);
    if (exec_body(stmt.body, *inner, out) == Flow::kBreak) break;
  }
  const bool ran = loop.index0 >= 0;
  // The loop variable may have been kept in a namespace: it must not evaluate after this.
  loop.over = true;
  loop.filter = nullptr;
  if (!ran) exec_body(stmt.else_body, *new_scope(&scope), out);
}

Value Evaluator::render_body(const Body& body, Scope& scope) {
  StrBuilder out(rt_);
  exec_body(body, scope, out);
  return out.finish_value();
}

void Evaluator::exec_set_block(const Stmt& stmt, Scope& scope) {
  Value value = render_body(stmt.body, *new_scope(&scope));
  if (stmt.exprs[0] != nullptr) value = eval_filter(*stmt.exprs[0], scope, &value);
  if (!rt_.failed()) assign(*stmt.targets[0], value, scope);
}

void Evaluator::exec_call_block(const Stmt& stmt, Scope& scope, StrBuilder& out) {
  Value caller;
  caller.kind = Kind::kMacro;
  caller.macro = rt_.keep(Macro{stmt.macro.get(), &scope});
  append_str(rt_, out, eval_call(*stmt.exprs[0], scope, &caller));
}

void Evaluator::exec_with(const Stmt& stmt, Scope& scope, StrBuilder& out) {
  Scope* inner = new_scope(&scope);
  for (size_t i = 0; i < stmt.targets.size() && !rt_.failed(); ++i) {
    const Value value = eval(*stmt.exprs[i], scope);
    assign(*stmt.targets[i], value, *inner);
  }
  exec_body(stmt.body, *inner, out);
}

void Evaluator::assign(const Expr& target, const Value& value, Scope& scope) {
  if (target.kind == ExprKind::kName) return set_variable(scope, target.name, value);
  if (target.kind == ExprKind::kNamespaceRef) {
    const Value object = lookup(scope, target.name);
    if (!object.is(Kind::kNamespace)) {
      rt_.fail("cannot assign attribute on non-namespace object");
      return rt_.locate(target.pos);
    }
    return set(rt_, object.ns->attributes, target.text_value, value);
  }
  std::vector<Value> items;
  if (!is_iterable(value)) {
    rt_.fail(fmt::format("cannot unpack non-iterable {} object", type_name(value)));
  } else if (iterate(rt_, value, items) && items.size() != target.items.size()) {
    rt_.fail(items.size() > target.items.size()
                 ? fmt::format("too many values to unpack (expected {})", target.items.size())
                 : fmt::format("not enough values to unpack (expected {}, got {})",
                               target.items.size(), items.size()));
  }
  rt_.locate(target.pos);
  for (size_t i = 0; i < target.items.size() && !rt_.failed(); ++i) {
    assign(*target.items[i], items[i], scope);
  }
}

}  // namespace maru::text::jinja
