// text/jinja/value.h - the values of the template language: Python's, without mutation.
//
// A Value is a small trivially copyable handle; what it points to lives in the Runtime of one
// render (or, for constants, in the parsed template) and is never freed before it. Only namespaces,
// loops, generators, cyclers and joiners change after they were made.
// Threads: values belong to one render.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "text/jinja/str.h"

namespace maru::text::jinja {

struct List;
struct Dict;
struct UndefinedInfo;
struct Namespace;
struct Loop;
struct Macro;
struct Callable;
struct Cycler;
struct Joiner;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kRange,
  kView,       // dict.keys(), .values(), .items()
  kGenerator,  // what lazy filters give: can be walked once
  kDict,
  kNamespace,
  kLoop,
  kMacro,
  kCallable,
  kCycler,
  kJoiner,
};

struct Value {
  Kind kind = Kind::kUndefined;
  // Of scalars; strings keep theirs per byte. Numbers are literal where only constants and loop
  // counters went into them.
  Origin origin = Origin::kData;
  bool markup = false;  // a string that |safe or |escape made: joining it escapes the other side
  union {
    bool b;
    int64_t i = 0;
    double f;
    Str s;
    List* list;  // kList, kTuple, kRange, kView, kGenerator
    Dict* dict;
    const UndefinedInfo* undefined;  // may be null
    Namespace* ns;
    Loop* loop;
    const Macro* macro;
    const Callable* callable;
    Cycler* cycler;
    Joiner* joiner;
  };

  static Value none(Origin origin = Origin::kLiteral) {
    Value v;
    v.kind = Kind::kNone;
    v.origin = origin;
    return v;
  }
  static Value boolean(bool b, Origin origin = Origin::kLiteral) {
    Value v;
    v.kind = Kind::kBool;
    v.origin = origin;
    v.b = b;
    return v;
  }
  static Value integer(int64_t i, Origin origin = Origin::kData) {
    Value v;
    v.kind = Kind::kInt;
    v.origin = origin;
    v.i = i;
    return v;
  }
  static Value real(double f, Origin origin = Origin::kData) {
    Value v;
    v.kind = Kind::kFloat;
    v.origin = origin;
    v.f = f;
    return v;
  }
  static Value string(Str s, bool markup = false) {
    Value v;
    v.kind = Kind::kString;
    v.markup = markup;
    v.s = s;
    return v;
  }
  static Value of(Kind kind, List* list) {
    Value v;
    v.kind = kind;
    v.list = list;
    return v;
  }
  static Value of(Dict* dict) {
    Value v;
    v.kind = Kind::kDict;
    v.dict = dict;
    return v;
  }
  static Value of(const Callable* callable) {
    Value v;
    v.kind = Kind::kCallable;
    v.callable = callable;
    return v;
  }

  bool is(Kind k) const { return kind == k; }
  bool is_undefined() const { return kind == Kind::kUndefined; }
  bool is_none() const { return kind == Kind::kNone; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_dict() const { return kind == Kind::kDict; }
  bool is_integral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool is_number() const { return is_integral() || kind == Kind::kFloat; }
  bool has_items() const { return kind >= Kind::kList && kind <= Kind::kGenerator; }
  int64_t as_int() const { return kind == Kind::kBool ? static_cast<int64_t>(b) : i; }
  double as_float() const { return kind == Kind::kFloat ? f : static_cast<double>(as_int()); }
  std::string_view text() const { return s.view(); }
};
static_assert(std::is_trivially_copyable_v<Value>);

inline Origin both(const Value& a, const Value& b) {
  return a.origin == Origin::kLiteral && b.origin == Origin::kLiteral ? Origin::kLiteral
                                                                      : Origin::kData;
}

enum class ViewKind : uint8_t { kKeys, kValues, kItems };

struct Range {
  int64_t start, stop, step;
};

struct List {
  std::vector<Value> items;
  Range range{0, 0, 1};                  // kRange: what it was made from
  size_t next = 0;                       // kGenerator: the first item that was not taken yet
  ViewKind view_kind = ViewKind::kKeys;  // kView
};

// Insertion order; keys are unique.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};

// Why a value is undefined; becomes a sentence only if somebody uses it.
struct UndefinedInfo {
  enum class Why { kName, kAttribute, kElement, kUnsafe, kText };
  Why why;
  Value object;
  std::string name;
};

struct Namespace {
  Dict attributes;
};

struct Cycler {
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner {
  Value separator;
  bool used = false;
};

}  // namespace maru::text::jinja
