// grammar/numbers.h - JSON numbers as terms: all of them, those within bounds, those that are a
// multiple of something.
//
// Bounds and multiples are compared digit by digit on the decimal text, so they are exact. Texts
// with an exponent belong to a bounded set only where one look tells (the sign, or an exponent that
// is clearly small or large enough).
// Threads: free functions.
#pragma once
#include <optional>
#include <string>

#include "base/json.h"
#include "grammar/terms.h"

namespace maru::grammar {

// A number as its digits: [-]whole[.fraction].
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // no leading zeros but a lone one
  std::string fraction;     // no trailing zeros
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

// Nothing where the value is no number or has more than 400 digits.
std::optional<Decimal> to_decimal(const Json& number);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

TermId integer_term(Terms& terms);  // without a point: 1.0 is written 1
TermId number_term(Terms& terms);
// Subsets of integer_term() where `integer`, else of number_term().
TermId at_least(Terms& terms, const Bound& bound, bool integer);
TermId at_most(Terms& terms, const Bound& bound, bool integer);
// Texts without exponent. Nothing where the step is 0 or has too many digits.
std::optional<TermId> multiple_of(Terms& terms, const Decimal& step);
// The ways to write exactly this value without exponent.
TermId exactly(Terms& terms, const Decimal& value);

}  // namespace maru::grammar
