// grammar/terms.h - regular languages over bytes as shared terms, with intersection and complement,
// and the automaton that their derivatives make.
//
// Everything regular becomes a term: patterns, formats, numbers, enums, the keys of an object.
// Equal terms have equal ids, so that a term is a state of an automaton: row(t)[byte] is the term
// of what may follow. Rows are made when first asked for. A bounded repetition is one term whatever
// its bounds.
//
// Threads: one owner.
// Source: derivatives, Brzozowski 1964; with shared terms and character classes, Owens, Reppy,
// Turon 2009 ("Regular-expression derivatives re-examined").
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/budget.h"
#include "grammar/byte_set.h"

namespace maru::grammar {

using TermId = uint32_t;
inline constexpr TermId kNever = 0;     // no text at all
inline constexpr TermId kEmpty = 1;     // the empty text
inline constexpr TermId kAllBytes = 2;  // every sequence of bytes
inline constexpr uint32_t kNoMax = UINT32_MAX;

struct CharRange {
  char32_t first;
  char32_t last;
};

class Terms {
 public:
  using Row = std::array<TermId, 256>;

  // Requires: the budget outlives this. Once it is exhausted everything new is kNever.
  explicit Terms(Budget& budget);

  TermId any_char() const { return any_char_; }      // one Unicode scalar value, as UTF-8
  TermId any_string() const { return any_string_; }  // any number of them
  TermId bytes(const ByteSet& set);
  TermId literal(std::string_view text);
  TermId one_of(std::vector<std::string_view> texts);
  // One character. Surrogates are left out. Ranges may overlap.
  TermId chars(std::span<const CharRange> ranges);
  TermId concat(TermId a, TermId b);
  TermId concat(std::initializer_list<TermId> terms);
  TermId either(std::vector<TermId> terms);
  TermId both(std::vector<TermId> terms);
  TermId negate(TermId term);
  TermId minus(TermId a, TermId b) { return both({a, negate(b)}); }
  TermId repeat(TermId term, uint32_t min, uint32_t max);
  TermId maybe(TermId term) { return repeat(term, 0, 1); }
  // Unsigned decimal texts (digits, perhaps a point and digits) whose value times 10^n_decimals is
  // a whole multiple of `divisor`. Requires: 1 <= divisor <= 2^32.
  TermId multiple(uint64_t divisor, uint32_t n_decimals);

  bool nullable(TermId term) const { return nodes_[term].nullable; }
  // Where each byte leads; kNever where no text goes on so.
  const Row& row(TermId term) {
    return term < rows_.size() && rows_[term] ? *rows_[term] : make_row(term);
  }
  // Whether any text belongs to it.
  bool is_live(TermId term);
  bool matches(TermId term, std::string_view text);

  // Where the term is `repeat(c, min, max)` of one character c at a time.
  struct Loop {
    TermId one;
    uint32_t min;
    uint32_t max;
  };
  bool is_loop(TermId term, Loop& loop) const;

  // Whether it is any_string() less some texts of bounded length: every text of characters goes on
  // to one that belongs to it.
  bool is_nearly_any_string(TermId term) const;

  size_t size() const { return nodes_.size(); }
  Budget& budget() { return budget_; }

 private:
  enum class Op : uint8_t { kNever, kEmpty, kBytes, kConcat, kOr, kAnd, kNot, kRepeat, kMultiple };
  struct Node {
    Op op = Op::kNever;
    bool nullable = false;
    bool plain = true;      // no complement or intersection within: live unless kNever
    bool utf8 = false;      // every text is whole, valid UTF-8
    bool one_char = false;  // every text is one character
    bool bounded = true;    // the texts have a greatest length, and no complement is within
    uint32_t a = 0;         // kBytes: set; kConcat, kNot, kRepeat: term; lists: begin in lists_
    uint32_t b = 0;         // kConcat: term; kRepeat: min; lists: count
    uint32_t c = 0;         // kRepeat: max
  };
  struct Multiple {
    uint64_t divisor;
    uint64_t rest;
    uint32_t n_decimals;  // still to come
    bool after_point;
    auto operator<=>(const Multiple&) const = default;
  };
  enum class Live : uint8_t { kUnknown, kYes, kNo };

  TermId add(Node node, std::span<const TermId> list = {});
  std::span<const TermId> list(const Node& node) const {
    return std::span(lists_).subspan(node.a, node.b);
  }
  void flatten(Op op, std::vector<TermId>& terms) const;
  void mark_text(TermId term, std::string_view text);
  void merge_heads(std::vector<TermId>& terms);
  bool meet_loops(std::vector<TermId>& terms);
  TermId multiple(const Multiple& state);
  TermId derive(TermId term, uint8_t byte);
  TermId derive_multiple(const Multiple& state, uint8_t byte);
  void first_sets(TermId term, std::vector<ByteSet>& sets, std::vector<bool>& seen);
  const Row& make_row(TermId term);
  std::vector<TermId> successors(TermId term, Row& raw);

  Budget& budget_;
  TermId any_char_ = kNever;
  TermId any_string_ = kNever;
  std::vector<Node> nodes_;
  std::vector<TermId> lists_;
  std::vector<ByteSet> sets_;
  std::map<ByteSet, uint32_t> set_ids_;
  std::vector<Multiple> multiples_;
  std::map<Multiple, uint32_t> multiple_ids_;
  std::unordered_multimap<uint64_t, TermId> ids_;
  std::vector<std::unique_ptr<Row>> rows_;
  std::vector<Live> live_;
};

}  // namespace maru::grammar
