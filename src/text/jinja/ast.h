// text/jinja/ast.h - a parsed template: statements and expressions, positions and resolved names.
//
// The parser makes it, the evaluator walks it; nothing changes it in between. Chains such as
// a + b + c are one node, so that the depth of the tree is what the parser's depth limit allows.
// Threads: immutable once parsed.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/runtime.h"

namespace maru::text::jinja {

struct FilterDef;
struct TestDef;

using NameId = uint32_t;  // index into Template::names

enum class ExprKind : uint8_t {
  kConstant,
  kName,
  kList,          // items
  kTuple,         // items
  kDict,          // items: key, value, key, value, ...
  kGetattr,       // items[0].text
  kGetitem,       // items[0][items[1]]
  kSlice,         // items[0][items[1]:items[2]:items[3]], any but the first may be null
  kCall,          // items[0](call)
  kFilter,        // items[0]|text(call)
  kTest,          // items[0] is text(call)
  kNot,           // items[0]
  kNegate,        // items[0]
  kPlus,          // items[0]
  kAnd,           // items
  kOr,            // items
  kConcat,        // items, joined as text (~)
  kMath,          // items[0] ops[0] items[1] ops[1] ...
  kCompare,       // the same; chained as Python does
  kCondition,     // items[0] if items[1] else items[2], which may be null
  kNamespaceRef,  // name.text, as the target of an assignment
};

enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,  // math
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kIn,
  kNotIn,  // compare
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArgs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *args
  ExprPtr double_star;  // **kwargs
};

struct Expr {
  ExprKind kind;
  Pos pos;
  Value constant;
  NameId name = 0;
  std::string text;
  Value text_value;  // text as a value, for lookups without allocation
  std::vector<ExprPtr> items;
  std::vector<Op> ops;
  std::unique_ptr<CallArgs> call;
  const FilterDef* filter = nullptr;  // null: unknown, an error when it is reached
  const TestDef* test = nullptr;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

enum class StmtKind : uint8_t {
  kText,         // text
  kOutput,       // exprs
  kIf,           // branches, else_body
  kFor,          // target in exprs[0] if test; body, else_body
  kSet,          // target = exprs[0]
  kSetBlock,     // target = body, through exprs[0] (a filter chain) unless null
  kMacro,        // macro
  kCallBlock,    // exprs[0] with macro as its caller
  kFilterBlock,  // body through exprs[0]
  kWith,         // targets = exprs, around body
  kScope,        // body (generation blocks, blocks)
  kBreak,
  kContinue,
};

struct MacroDef {
  std::string name;
  NameId name_id = 0;
  std::vector<NameId> params;
  std::vector<ExprPtr> defaults;  // of the last params
  Body body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

struct Branch {
  ExprPtr test;
  Body body;
};

struct Stmt {
  StmtKind kind;
  Pos pos;
  Value text{};
  std::vector<ExprPtr> targets{};
  std::vector<ExprPtr> exprs{};
  ExprPtr test{};
  std::vector<Branch> branches{};
  Body body{};
  Body else_body{};
  bool recursive = false;
  std::unique_ptr<MacroDef> macro{};
};

// A filter chain without a value (set blocks, filter blocks) starts at this constant.
struct Template {
  Body body;
  std::vector<std::string> names;
  std::map<std::string, NameId, std::less<>> name_ids;  // the inverse of names
  std::deque<Buf> constants;                            // the bytes of literal strings
  // Names that the engine itself sets.
  NameId loop = 0, caller = 0, varargs = 0, kwargs = 0;
};

}  // namespace maru::text::jinja
