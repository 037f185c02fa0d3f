#include "grammar/numbers.h"

#include <algorithm>
#include <charconv>

namespace maru::grammar {
namespace {

constexpr size_t kDigitsMax = 400;

class Writer {
 public:
  explicit Writer(Terms& terms) : terms_(terms) {}

  TermId digit(char first = '0', char last = '9') {
    if (first > last) return kNever;
    return terms_.bytes(ByteSet::range(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
  }
  TermId digits(size_t n) {
    return terms_.repeat(digit(), static_cast<uint32_t>(n), static_cast<uint32_t>(n));
  }
  TermId any_digits() { return terms_.repeat(digit(), 0, kNoMax); }
  TermId whole() {
    return terms_.either({terms_.literal("0"), terms_.concat(digit('1'), any_digits())});
  }
  TermId fraction() { return terms_.concat({terms_.literal("."), digit(), any_digits()}); }
  TermId exponent() {
    const TermId sign = terms_.maybe(terms_.bytes(ByteSet::of('+') | ByteSet::of('-')));
    return terms_.concat({e(), sign, digit(), any_digits()});
  }
  TermId zeros() { return terms_.repeat(terms_.literal("0"), 0, kNoMax); }
  TermId e() { return terms_.bytes(ByteSet::of('e') | ByteSet::of('E')); }
  TermId unsigned_number(bool integer) {
    if (integer) return whole();
    return terms_.concat({whole(), terms_.maybe(fraction()), terms_.maybe(exponent())});
  }
  TermId minus(TermId term) { return terms_.concat(terms_.literal("-"), term); }

  // Whole numbers above `digits`.
  TermId whole_above(const std::string& bound) {
    std::vector<TermId> ways{
        terms_.concat({digit('1'), digits(bound.size()), any_digits()})};  // longer ones
    for (size_t i = 0; i < bound.size(); ++i) {
      const char least = std::max<char>(static_cast<char>(bound[i] + 1), i == 0 ? '1' : '0');
      ways.push_back(terms_.concat({terms_.literal(std::string_view(bound).substr(0, i)),
                                    digit(least), digits(bound.size() - i - 1)}));
    }
    return terms_.either(std::move(ways));
  }

  TermId whole_below(const std::string& bound) {
    std::vector<TermId> ways;
    if (bound != "0") ways.push_back(terms_.literal("0"));
    if (bound.size() > 1) {
      ways.push_back(terms_.concat(
          digit('1'), terms_.repeat(digit(), 0, static_cast<uint32_t>(bound.size() - 2))));
    }
    for (size_t i = 0; i < bound.size(); ++i) {
      const char least = i == 0 ? '1' : '0';
      ways.push_back(terms_.concat({terms_.literal(std::string_view(bound).substr(0, i)),
                                    digit(least, static_cast<char>(bound[i] - 1)),
                                    digits(bound.size() - i - 1)}));
    }
    return terms_.either(std::move(ways));
  }

  // Digits behind the point that make more than 0.`bound`, or as much.
  TermId fraction_from(const std::string& bound, bool exclusive) {
    std::vector<TermId> ways;
    for (size_t i = 0; i < bound.size(); ++i) {
      ways.push_back(terms_.concat({terms_.literal(std::string_view(bound).substr(0, i)),
                                    digit(static_cast<char>(bound[i] + 1)), any_digits()}));
    }
    const TermId rest =
        exclusive ? terms_.concat({zeros(), digit('1'), any_digits()}) : any_digits();
    ways.push_back(terms_.concat(terms_.literal(bound), rest));
    return terms_.either(std::move(ways));
  }

  TermId fraction_to(const std::string& bound, bool exclusive) {
    std::vector<TermId> ways;
    for (size_t i = 0; i < bound.size(); ++i) {
      const TermId begin = terms_.literal(std::string_view(bound).substr(0, i));
      ways.push_back(
          terms_.concat({begin, digit('0', static_cast<char>(bound[i] - 1)), any_digits()}));
      if (i > 0) ways.push_back(begin);  // ends before a digit that is not 0
    }
    if (!exclusive) ways.push_back(terms_.concat(terms_.literal(bound), zeros()));
    return terms_.either(std::move(ways));
  }

  // .digits, where there is at least one digit.
  TermId point(TermId digits_term) {
    return terms_.concat(terms_.literal("."),
                         terms_.both({digits_term, terms_.concat(digit(), any_digits())}));
  }

  TermId not_zero() {
    const TermId whole = terms_.concat({digit('1'), any_digits(), terms_.maybe(fraction())});
    const TermId small = terms_.concat({terms_.literal("0."), zeros(), digit('1'), any_digits()});
    return terms_.concat(terms_.either({whole, small}), terms_.maybe(exponent()));
  }

  TermId magnitude_from(const Decimal& bound, bool exclusive, bool integer) {
    std::vector<TermId> ways;
    if (integer) {
      ways.push_back(whole_above(bound.whole));
      if (bound.fraction.empty() && !exclusive) ways.push_back(terms_.literal(bound.whole));
      return terms_.either(std::move(ways));
    }
    if (bound.is_zero()) return exclusive ? not_zero() : unsigned_number(false);
    ways.push_back(terms_.concat(whole_above(bound.whole), terms_.maybe(fraction())));
    TermId rest = point(fraction_from(bound.fraction, exclusive));
    if (bound.fraction.empty() && !exclusive) rest = terms_.maybe(rest);
    ways.push_back(terms_.concat(terms_.literal(bound.whole), rest));
    // d.ddE+n with d >= 1 is at least 10^n.
    const std::string n_digits = std::to_string(bound.whole.size() - 1);
    const TermId large = terms_.concat(zeros(), whole_above(n_digits));
    const TermId plus = terms_.maybe(terms_.literal("+"));
    ways.push_back(terms_.concat({digit('1'), terms_.maybe(fraction()), e(), plus, large}));
    return terms_.either(std::move(ways));
  }

  TermId magnitude_to(const Decimal& bound, bool exclusive, bool integer) {
    std::vector<TermId> ways;
    ways.push_back(integer ? whole_below(bound.whole)
                           : terms_.concat(whole_below(bound.whole), terms_.maybe(fraction())));
    const bool may_equal = !exclusive || !bound.fraction.empty();
    TermId rest = kNever;
    if (!integer) rest = point(fraction_to(bound.fraction, exclusive));
    if (may_equal) rest = terms_.either({rest, kEmpty});
    ways.push_back(terms_.concat(terms_.literal(bound.whole), rest));
    if (!integer && bound.whole != "0") {  // d.ddE-n is below 1
      const TermId small = terms_.concat({zeros(), digit('1'), any_digits()});
      ways.push_back(
          terms_.concat({digit(), terms_.maybe(fraction()), e(), terms_.literal("-"), small}));
    }
    return terms_.either(std::move(ways));
  }

 private:
  Terms& terms_;
};

}  // namespace

std::optional<Decimal> to_decimal(const Json& number) {
  if (!number.is_number()) return std::nullopt;
  const std::string text = number.dump();
  Decimal value;
  std::string_view rest = text;
  value.negative = rest.starts_with('-');
  if (value.negative) rest.remove_prefix(1);
  int exponent = 0;
  if (const size_t e = rest.find_first_of("eE"); e != rest.npos) {
    const char* begin = rest.data() + e + 1 + (rest[e + 1] == '+');
    std::from_chars(begin, rest.data() + rest.size(), exponent);
    rest = rest.substr(0, e);
  }
  const size_t point = std::min(rest.find('.'), rest.size());
  std::string digits(rest.substr(0, point));
  if (point < rest.size()) digits += rest.substr(point + 1);
  int n_whole = static_cast<int>(point) + exponent;
  if (n_whole < -static_cast<int>(kDigitsMax) || n_whole > static_cast<int>(kDigitsMax)) {
    return std::nullopt;
  }
  if (n_whole < 0) {
    digits.insert(0, static_cast<size_t>(-n_whole), '0');
    n_whole = 0;
  }
  if (digits.size() < static_cast<size_t>(n_whole))
    digits.resize(static_cast<size_t>(n_whole), '0');
  value.whole = digits.substr(0, static_cast<size_t>(n_whole));
  value.fraction = digits.substr(static_cast<size_t>(n_whole));
  value.whole.erase(0, value.whole.find_first_not_of('0'));
  if (value.whole.empty()) value.whole = "0";
  value.fraction.erase(value.fraction.find_last_not_of('0') + 1);
  if (value.is_zero()) value.negative = false;
  return value;
}

TermId integer_term(Terms& terms) {
  return terms.concat(terms.maybe(terms.literal("-")), Writer(terms).whole());
}

TermId number_term(Terms& terms) {
  return terms.concat(terms.maybe(terms.literal("-")), Writer(terms).unsigned_number(false));
}

TermId at_least(Terms& terms, const Bound& bound, bool integer) {
  Writer writer(terms);
  if (!bound.value.negative) {
    return writer.magnitude_from(bound.value, bound.exclusive, integer);
  }
  return terms.either({writer.unsigned_number(integer),
                       writer.minus(writer.magnitude_to(bound.value, bound.exclusive, integer))});
}

TermId at_most(Terms& terms, const Bound& bound, bool integer) {
  Writer writer(terms);
  if (bound.value.negative) {
    return writer.minus(writer.magnitude_from(bound.value, bound.exclusive, integer));
  }
  return terms.either({writer.minus(writer.unsigned_number(integer)),
                       writer.magnitude_to(bound.value, bound.exclusive, integer)});
}

std::optional<TermId> multiple_of(Terms& terms, const Decimal& step) {
  const std::string digits = step.whole + step.fraction;
  uint64_t divisor = 0;
  for (const char digit : digits) {
    divisor = divisor * 10 + static_cast<uint64_t>(digit - '0');
    if (divisor > uint64_t{1} << 32) return std::nullopt;
  }
  if (divisor == 0) return std::nullopt;
  Writer writer(terms);
  const TermId texts = terms.concat(writer.whole(), terms.maybe(writer.fraction()));
  const TermId multiple =
      terms.both({texts, terms.multiple(divisor, static_cast<uint32_t>(step.fraction.size()))});
  return terms.concat(terms.maybe(terms.literal("-")), multiple);
}

TermId exactly(Terms& terms, const Decimal& value) {
  Writer writer(terms);
  TermId term = terms.literal(value.whole);
  if (value.fraction.empty()) {
    const TermId point_zeros = terms.concat({terms.literal(".0"), writer.zeros()});
    term = terms.concat(term, terms.maybe(point_zeros));
  } else {
    term = terms.concat({term, terms.literal("." + value.fraction), writer.zeros()});
  }
  return value.negative ? writer.minus(term) : term;
}

}  // namespace maru::grammar
