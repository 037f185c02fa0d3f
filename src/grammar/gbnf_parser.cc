#include "grammar/gbnf_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "grammar/cursor.h"

namespace maru::grammar {
namespace {

constexpr size_t kDepthMax = 64;
constexpr uint32_t kRepeatMax = 1'000'000;

bool is_name_char(char c) {
  return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Parser : Cursor {
 public:
  Parser(Terms& terms, std::string_view source) : Cursor(source), terms_(terms) {}

  Result<GbnfTree> parse() {
    rule_number("root");
    skip_space(true);
    while (!error_ && !done()) rule();
    for (size_t i = 0; i < tree_.rules.size() && !error_; ++i) {
      if (tree_.rules[i] == GbnfTree::kUndefined) {
        error_ =
            Error::invalid(fmt::format("GBNF: there is no rule named \"{:.100}\"", tree_.names[i]));
      }
    }
    if (error_) return *error_;
    if (terms_.budget().exhausted()) return Error::exhausted("the GBNF grammar is too large");
    return std::move(tree_);
  }

 private:
  void fail(std::string_view what) {
    if (error_) return;
    const auto line = std::ranges::count(source_.substr(0, at_), '\n') + 1;
    error_ = Error::invalid(fmt::format("GBNF, line {}: {}", line, what));
    at_ = source_.size();
  }
  void skip_space(bool newlines) {
    while (!done()) {
      const char c = peek();
      if (c == '#') {
        while (!done() && peek() != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  uint32_t rule_number(const std::string& name) {
    const auto [found, is_new] =
        numbers_.try_emplace(name, static_cast<uint32_t>(tree_.rules.size()));
    if (is_new) {
      terms_.budget().take(128 + name.size());
      tree_.rules.push_back(GbnfTree::kUndefined);
      tree_.names.push_back(name);
    }
    return found->second;
  }

  uint32_t add(GbnfNode node) {
    terms_.budget().step();
    terms_.budget().take(sizeof(GbnfNode) + 4 * node.parts.size());
    if (terms_.budget().exhausted() && !error_) {
      error_ = Error::exhausted("the GBNF grammar is too large");
      at_ = source_.size();
    }
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }

  std::string name() {
    const size_t begin = at_;
    while (!done() && is_name_char(peek())) ++at_;
    if (at_ == begin) fail("expected the name of a rule");
    return std::string(source_.substr(begin, at_ - begin));
  }

  void rule() {
    const std::string own = name();
    skip_space(false);
    if (!error_ && !take("::=")) fail("expected ::= after the name of a rule");
    if (error_) return;
    skip_space(true);
    const uint32_t number = rule_number(own);
    if (tree_.rules[number] != GbnfTree::kUndefined) {
      return fail(fmt::format("rule \"{:.100}\" is defined twice", own));
    }
    const uint32_t node = alternatives(0);
    if (error_) return;
    tree_.rules[number] = node;
    if (!done() && peek() != '\n' && peek() != '\r') return fail("unexpected character");
    skip_space(true);
  }

  uint32_t alternatives(size_t depth) {
    GbnfNode node{.kind = GbnfNode::kAlternatives};
    while (true) {
      node.parts.push_back(sequence(depth));
      if (error_) return 0;
      const size_t back = at_;
      skip_space(true);
      if (!take("|")) {
        if (depth == 0) at_ = back;  // the line's end ends the rule
        break;
      }
      skip_space(true);
    }
    return node.parts.size() == 1 ? node.parts[0] : add(std::move(node));
  }

  uint32_t sequence(size_t depth) {
    GbnfNode node{.kind = GbnfNode::kSequence};
    skip_space(depth > 0);
    while (!done() && !error_ && peek() != '|' && peek() != ')' && peek() != '\n' &&
           peek() != '\r') {
      node.parts.push_back(repeated(atom(depth)));
      skip_space(depth > 0);
    }
    return node.parts.size() == 1 ? node.parts[0] : add(std::move(node));
  }

  uint32_t atom(size_t depth) {
    if (take("\"")) return text();
    if (take("[")) return add({.id = char_class()});
    if (take(".")) return add({.id = terms_.any_char()});
    if (take("(")) {
      if (depth >= kDepthMax) {
        fail(fmt::format("groups nest deeper than {}", kDepthMax));
        return 0;
      }
      const uint32_t inner = alternatives(depth + 1);
      if (!take(")")) fail("a group that is not closed");
      return inner;
    }
    if (is_name_char(peek())) {
      const uint32_t number = rule_number(name());
      return add({.kind = GbnfNode::kRule, .id = number});
    }
    fail("expected a string, a class, a group or the name of a rule");
    return 0;
  }

  uint32_t repeated(uint32_t inner) {
    uint32_t min = 0, max = kNoMax;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (take("{")) {
      skip_space(false);
      min = max = number();
      skip_space(false);
      if (take(",")) {
        skip_space(false);
        max = peek() == '}' ? kNoMax : number();
        skip_space(false);
      }
      if (!take("}")) fail("expected } after a repetition");
      if (min > max) fail("a repetition whose least is above its most");
    } else {
      return inner;
    }
    return add({.kind = GbnfNode::kRepeat, .min = min, .max = max, .parts = {inner}});
  }

  uint32_t number() {
    const size_t begin = at_;
    uint64_t value = 0;
    while (!done() && peek() >= '0' && peek() <= '9') {
      value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(peek() - '0'), kRepeatMax + 1);
      ++at_;
    }
    if (at_ == begin) fail("expected a number");
    if (value > kRepeatMax) fail("more than 1,000,000 repetitions");
    return static_cast<uint32_t>(value);
  }

  char32_t character() {
    if (take("\\")) return escape();
    if (done()) return 0;
    const auto code = take_char();
    if (!code) fail("bytes that are not UTF-8");
    return code.value_or(0);
  }

  char32_t escape() {
    if (done()) {
      fail("a backslash at the end");
      return 0;
    }
    const char letter = source_[at_++];
    const size_t n_hex = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (n_hex > 0) {
      const auto code = take_hex(n_hex);
      if (!code) fail(fmt::format("\\{} without {} hexadecimal digits", letter, n_hex));
      if (code > char32_t{0x10FFFF}) fail("no such character");
      return code.value_or(0);
    }
    switch (letter) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(letter);
      default:
        fail("an unknown escape");
        return 0;
    }
  }

  uint32_t text() {
    std::string bytes;
    while (!done() && peek() != '"') append_utf8(bytes, character());
    if (!take("\"")) fail("a string that is not closed");
    return add({.id = terms_.literal(bytes)});
  }

  TermId char_class() {
    const bool negative = take("^");
    CharSet set;
    while (!done() && peek() != ']') {
      const char32_t first = character();
      char32_t last = first;
      if (peek() == '-' && at_ + 1 < source_.size() && source_[at_ + 1] != ']') {
        ++at_;
        last = character();
      }
      if (last < first) fail("a range whose end is before its beginning");
      set.add(first, last);
    }
    if (!take("]")) fail("a class that is not closed");
    return (negative ? set.complement() : set).term(terms_);
  }

  Terms& terms_;
  GbnfTree tree_;
  std::map<std::string, uint32_t> numbers_;
  std::optional<Error> error_;
};

}  // namespace

Result<GbnfTree> parse_gbnf(Terms& terms, std::string_view source) {
  return Parser(terms, source).parse();
}

}  // namespace maru::grammar
