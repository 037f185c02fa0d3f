// grammar/regex.h - regular expressions as terms.
//
// Syntax: ECMA-262 with the u flag, as JSON Schema asks, and what other dialects write alike:
// (?P<name>..), \A, \z, \Z, lazy quantifiers (the same texts). Lookahead works where nothing but
// the rest of the expression follows it. What has no meaning for a whole text or is not regular
// (backreferences, lookbehind, \b, flags) is refused.
// Threads: free functions.
#pragma once
#include <string_view>

#include "base/result.h"
#include "grammar/terms.h"

namespace maru::grammar {

enum class RegexMatch {
  kWhole,   // the expression spells the whole text, anchored or not
  kSearch,  // somewhere in the text, as JSON Schema's `pattern`
};

// Errors: kInvalidArgument, kUnsupported or kResourceExhausted, with the place.
Result<TermId> parse_regex(Terms& terms, std::string_view source, RegexMatch match);

}  // namespace maru::grammar
