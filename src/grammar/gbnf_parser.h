// grammar/gbnf_parser.h - the text of a GBNF grammar as a tree of expressions.
//
// Threads: one owner.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/char_set.h"

namespace maru::grammar {

struct GbnfNode {
  enum Kind : uint8_t { kTerm, kRule, kSequence, kAlternatives, kRepeat };
  Kind kind = kTerm;
  uint32_t id = 0;   // kTerm: a term; kRule: number of the rule
  uint32_t min = 0;  // of kRepeat
  uint32_t max = 0;
  std::vector<uint32_t> parts = {};  // nodes
};

struct GbnfTree {
  static constexpr uint32_t kUndefined = UINT32_MAX;
  std::vector<GbnfNode> nodes;
  std::vector<uint32_t> rules;  // the node of each rule
  std::vector<std::string> names;
};

// Errors: kInvalidArgument and kResourceExhausted, with the line. Every rule that is named is
// defined, and rule 0 is `root`.
Result<GbnfTree> parse_gbnf(Terms& terms, std::string_view source);

}  // namespace maru::grammar
