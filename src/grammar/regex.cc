// grammar/regex.cc - a recursive parser (groups nest at most kDepthMax deep) that builds terms as
// it goes.
#include "grammar/regex.h"

#include <fmt/format.h>

#include <optional>

#include "grammar/char_set.h"
#include "grammar/cursor.h"

namespace maru::grammar {
namespace {

constexpr size_t kDepthMax = 64;
constexpr uint32_t kRepeatMax = 1'000'000;

// The texts of a part of the expression, apart by whether they begin at the beginning of the whole
// text ([1][..], an anchor said so) and whether they end at its end ([..][1]).
struct Part {
  TermId at[2][2] = {{kNever, kNever}, {kNever, kNever}};

  static Part of(TermId term) {
    Part part;
    part.at[0][0] = term;
    return part;
  }
  bool is_plain() const { return at[0][1] == kNever && at[1][0] == kNever && at[1][1] == kNever; }
};

class Parser : Cursor {
 public:
  Parser(Terms& terms, std::string_view source, RegexMatch match)
      : Cursor(source),
        terms_(terms),
        edge_(match == RegexMatch::kSearch ? terms.any_string() : kEmpty) {}

  Result<TermId> parse() {
    const Part whole = alternatives(0);
    if (!error_ && at_ < source_.size()) fail("a ')' without its '('");
    if (error_) return *error_;
    std::vector<TermId> ways;
    for (const int begins : {0, 1}) {
      for (const int ends : {0, 1}) {
        ways.push_back(terms_.concat(
            {begins ? kEmpty : edge_, whole.at[begins][ends], ends ? kEmpty : edge_}));
      }
    }
    const TermId term = terms_.either(std::move(ways));
    if (terms_.budget().exhausted()) return Error::exhausted("the regular expression is too large");
    return term;
  }

 private:
  // The first error stays. Everything goes to the end of the source then.
  void fail(std::string_view what, bool unsupported = false) {
    if (error_) return;
    std::string message = fmt::format("regular expression: {} at byte {}", what, at_);
    error_ =
        unsupported ? Error::unsupported(std::move(message)) : Error::invalid(std::move(message));
    at_ = source_.size();
  }

  Part alternatives(size_t depth) {
    std::vector<TermId> ways[2][2];
    do {
      const Part part = sequence(depth);
      for (const int begins : {0, 1}) {
        for (const int ends : {0, 1}) ways[begins][ends].push_back(part.at[begins][ends]);
      }
    } while (take("|"));
    Part all;
    for (const int begins : {0, 1}) {
      for (const int ends : {0, 1}) {
        all.at[begins][ends] = terms_.either(std::move(ways[begins][ends]));
      }
    }
    return all;
  }

  Part sequence(size_t depth) {
    std::vector<Part> parts;
    while (!done() && source_[at_] != '|' && source_[at_] != ')') {
      if (is_next("(?=") || is_next("(?!")) {
        parts.push_back(lookahead(depth));
        break;  // it has read the rest of the sequence
      }
      parts.push_back(quantified(depth));
    }
    Part all = Part::of(kEmpty);  // from the end, so that terms are built once
    for (size_t i = parts.size(); i > 0 && !error_; --i) all = join(parts[i - 1], all);
    return all;
  }

  // An anchor within is fine where nothing is left beyond it.
  Part join(const Part& left, const Part& right) {
    Part both;
    for (const int begins : {0, 1}) {
      for (const int ends : {0, 1}) {
        std::vector<TermId> ways{terms_.concat(left.at[begins][0], right.at[0][ends])};
        if (left.at[begins][1] != kNever && ends == 1) {
          if (terms_.nullable(right.at[0][0]) || terms_.nullable(right.at[0][1])) {
            ways.push_back(left.at[begins][1]);
          }
        }
        if (right.at[1][ends] != kNever && begins == 1) {
          if (terms_.nullable(left.at[0][0]) || terms_.nullable(left.at[1][0])) {
            ways.push_back(right.at[1][ends]);
          }
        }
        both.at[begins][ends] = terms_.either(std::move(ways));
      }
    }
    return both;
  }

  Part lookahead(size_t depth) {
    if (depth > 0) {
      fail("lookahead within a group is not supported", true);
      return {};
    }
    const bool negative = source_[at_ + 2] == '!';
    at_ += 3;
    const Part inner = alternatives(depth + 1);
    if (!take(")")) fail("a group that is not closed");
    const Part rest = sequence(depth);
    if (error_) return {};
    const TermId seen =
        terms_.either({terms_.concat(inner.at[0][0], terms_.any_string()), inner.at[0][1]});
    const TermId wanted = negative ? terms_.negate(seen) : seen;
    Part both;
    for (const int begins : {0, 1}) {
      const TermId whole =
          terms_.either({terms_.concat(rest.at[begins][0], edge_), rest.at[begins][1]});
      both.at[begins][1] = terms_.both({whole, wanted});
    }
    return both;
  }

  Part quantified(size_t depth) {
    const Part part = atom(depth);
    uint32_t min = 1, max = 1;
    if (!quantifier(min, max)) return part;
    if (!done() && source_[at_] == '+') fail("possessive quantifiers are not supported", true);
    take("?");  // lazy: the same texts
    if (min > max) fail("a repetition whose least is above its most");
    if (max != kNoMax && max > kRepeatMax) fail("more than 1,000,000 repetitions");
    if (error_) return {};
    if (part.is_plain()) return Part::of(terms_.repeat(part.at[0][0], min, max));
    if (max == 1 && min == 0) {
      Part maybe = part;
      maybe.at[0][0] = terms_.either({maybe.at[0][0], kEmpty});
      return maybe;
    }
    fail("a repeated anchor is not supported", true);
    return {};
  }

  // `{` that begins no quantifier is a character.
  bool quantifier(uint32_t& min, uint32_t& max) {
    if (take("*")) {
      min = 0, max = kNoMax;
    } else if (take("+")) {
      max = kNoMax;
    } else if (take("?")) {
      min = 0;
    } else if (is_next("{")) {
      const size_t begin = at_++;
      const auto least = number();
      auto most = least;
      if (take(",")) most = is_next("}") ? std::optional<uint32_t>(kNoMax) : number();
      if ((least || most) && take("}")) {
        min = least.value_or(0);
        max = most.value_or(kNoMax);
        return true;
      }
      at_ = begin;
      return false;
    } else {
      return false;
    }
    return true;
  }

  std::optional<uint32_t> number() {
    std::optional<uint32_t> value;
    while (!done() && source_[at_] >= '0' && source_[at_] <= '9') {
      value = std::min<uint64_t>(
          uint64_t{value.value_or(0)} * 10 + static_cast<uint64_t>(source_[at_] - '0'),
          kRepeatMax + 1);
      ++at_;
    }
    return value;
  }

  Part atom(size_t depth) {
    if (take("^")) return anchor(true);
    if (take("$")) return anchor(false);
    if (is_next("*") || is_next("+") || is_next("?")) fail("a quantifier with nothing before it");
    if (take("(")) return group(depth);
    if (take("[")) return Part::of(character_class());
    if (take(".")) {
      return Part::of(
          CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement().term(terms_));
    }
    if (take("\\")) return escape();
    if (done()) return {};
    const char32_t code = next_char();
    return Part::of(CharSet({{code, code}}).term(terms_));
  }

  static Part anchor(bool begins) {
    Part part;
    part.at[begins][!begins] = kEmpty;
    return part;
  }

  Part group(size_t depth) {
    if (depth >= kDepthMax) {
      fail(fmt::format("groups nest deeper than {}", kDepthMax));
      return {};
    }
    if (take("?")) {
      const bool is_named =
          take("P<") || (is_next("<") && !is_next("<=") && !is_next("<!") && take("<"));
      if (is_named) {
        while (!done() && source_[at_] != '>') ++at_;
        if (!take(">")) fail("a group name that does not end");
      } else if (!take(":")) {
        fail("this kind of group is not supported", true);
      }
    }
    const Part inner = alternatives(depth + 1);
    if (!take(")")) fail("a group that is not closed");
    return inner;
  }

  char32_t next_char() {
    const auto code = take_char();
    if (!code) fail("bytes that are not UTF-8");
    return code.value_or(0);
  }

  // The \u was read.
  char32_t unicode_escape() {
    if (take("{")) {
      const size_t end = source_.find('}', at_);
      const size_t n = end == std::string_view::npos ? 0 : end - at_;
      const auto code = n >= 1 && n <= 6 ? take_hex(n) : std::nullopt;
      if (!code || *code > 0x10FFFF || !take("}")) fail("a bad \\u{..}");
      return code.value_or(0);
    }
    const auto code = take_hex(4);
    if (!code) fail("\\u without four hexadecimal digits");
    if (!code || *code < 0xD800 || *code > 0xDBFF || !is_next("\\u")) return code.value_or(0);
    const size_t back = at_;
    at_ += 2;
    const auto low = take_hex(4);
    if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
      return 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
    }
    at_ = back;
    return *code;
  }

  // One character after a backslash that stands for itself or for another.
  char32_t char_escape() {
    if (done()) {
      fail("a backslash at the end");
      return 0;
    }
    const char letter = source_[at_];
    const auto is_letter = [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; };
    if (static_cast<unsigned char>(letter) >= 0x80) return next_char();
    ++at_;
    switch (letter) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'x':
        if (const auto code = take_hex(2)) return *code;
        fail("\\x without two hexadecimal digits");
        return 0;
      case 'u':
        return unicode_escape();
      case 'c':
        if (!done() && is_letter(source_[at_])) return static_cast<char32_t>(source_[at_++] & 31);
        fail("a bad \\c");
        return 0;
      case '0':
        if (done() || source_[at_] < '0' || source_[at_] > '9') return 0;
        break;
      default:
        break;
    }
    if (letter >= '0' && letter <= '9') fail("backreferences are not supported", true);
    if (is_letter(letter)) fail(fmt::format("\\{} is not supported", letter), true);
    return static_cast<char32_t>(letter);
  }

  Part escape() {
    if (take("A")) return anchor(true);
    if (take("z") || take("Z")) return anchor(false);
    if (!done()) {
      if (const auto set = class_escape(source_[at_])) {
        ++at_;
        return Part::of(set->term(terms_));
      }
    }
    const char32_t code = char_escape();
    return Part::of(CharSet({{code, code}}).term(terms_));
  }

  TermId character_class() {
    const bool negative = take("^");
    CharSet set;
    while (!done() && source_[at_] != ']') {
      std::optional<char32_t> first = class_member(set);
      if (!is_next("-") || is_next("-]") || !first) {
        if (first) set.add(*first, *first);
        continue;
      }
      ++at_;
      const auto last = class_member(set);
      if (!last) {  // [a-\d]: the hyphen stands for itself
        set.add(*first, *first);
        set.add('-', '-');
      } else if (*last < *first) {
        fail("a range whose end is before its beginning");
      } else {
        set.add(*first, *last);
      }
    }
    if (!take("]")) fail("a class that is not closed");
    return (negative ? set.complement() : set).term(terms_);
  }

  // A character, or none where a whole class was added to `set`.
  std::optional<char32_t> class_member(CharSet& set) {
    if (!take("\\")) return done() ? 0 : next_char();
    if (take("b")) return 8;
    if (!done()) {
      if (const auto named = class_escape(source_[at_])) {
        ++at_;
        set.add(*named);
        return std::nullopt;
      }
    }
    return char_escape();
  }

  Terms& terms_;
  TermId edge_;  // what may stand before and behind
  std::optional<Error> error_;
};

}  // namespace

Result<TermId> parse_regex(Terms& terms, std::string_view source, RegexMatch match) {
  if (source.size() > kSourceBytesMax) {
    return Error::exhausted(
        fmt::format("a regular expression has at most {} bytes", kSourceBytesMax));
  }
  return Parser(terms, source, match).parse();
}

}  // namespace maru::grammar
