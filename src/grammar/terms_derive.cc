// grammar/terms_derive.cc - what may follow: derivatives, the rows of the automaton, and which
// terms have any text at all.
#include <algorithm>

#include "base/check.h"
#include "grammar/terms.h"

namespace maru::grammar {
namespace {

constexpr size_t kRowBytes = sizeof(Terms::Row) + 16;

}  // namespace

TermId Terms::derive(TermId term, uint8_t byte) {
  budget_.step();
  const Node node = nodes_[term];
  switch (node.op) {
    case Op::kNever:
    case Op::kEmpty:
      return kNever;
    case Op::kBytes:
      return sets_[node.a].has(byte) ? kEmpty : kNever;
    case Op::kConcat: {
      // Parts that may be empty let the next one begin as well; a loop, since texts are long.
      std::vector<TermId> ways;
      for (TermId at = term;;) {
        const Node here = nodes_[at];
        if (here.op != Op::kConcat) {
          ways.push_back(derive(at, byte));
          break;
        }
        ways.push_back(concat(derive(here.a, byte), here.b));
        if (!nullable(here.a) || budget_.exhausted()) break;
        at = here.b;
      }
      return ways.size() == 1 ? ways[0] : either(std::move(ways));
    }
    case Op::kOr:
    case Op::kAnd: {
      std::vector<TermId> ways;
      ways.reserve(node.b);
      for (uint32_t i = 0; i < node.b; ++i) {
        const TermId way = derive(lists_[node.a + i], byte);
        if (way == kNever && node.op == Op::kAnd) return kNever;
        if (way != kNever) ways.push_back(way);
      }
      return node.op == Op::kOr ? either(std::move(ways)) : both(std::move(ways));
    }
    case Op::kNot:
      return negate(derive(node.a, byte));
    case Op::kRepeat: {
      const TermId first = derive(node.a, byte);
      if (first == kNever) return kNever;
      const uint32_t min = node.b == 0 ? 0 : node.b - 1;
      const uint32_t max = node.c == kNoMax ? kNoMax : node.c - 1;
      return concat(first, repeat(node.a, min, max));
    }
    case Op::kMultiple:
      return derive_multiple(multiples_[node.a], byte);
  }
  return kNever;
}

TermId Terms::derive_multiple(const Multiple& state, uint8_t byte) {
  Multiple next = state;
  if (byte == '.') {
    if (state.after_point) return kNever;
    next.after_point = true;
    return multiple(next);
  }
  if (byte < '0' || byte > '9') return kNever;
  if (state.after_point) {
    if (state.n_decimals == 0) return byte == '0' ? multiple(next) : kNever;
    --next.n_decimals;
  }
  next.rest = (state.rest * 10 + (byte - '0')) % state.divisor;
  return multiple(next);
}

// The sets of bytes that decide where the term goes next. `seen`, by term: what `sets` has already,
// so that the shared ends of thousands of terms are looked at once.
void Terms::first_sets(TermId term, std::vector<ByteSet>& sets, std::vector<bool>& seen) {
  budget_.step();
  if (seen[term] || budget_.exhausted()) return;
  seen[term] = true;
  const Node& node = nodes_[term];
  switch (node.op) {
    case Op::kNever:
    case Op::kEmpty:
      return;
    case Op::kBytes:
      sets.push_back(sets_[node.a]);
      return;
    case Op::kConcat:  // a loop, since texts are long
      for (TermId at = term;;) {
        const Node& here = nodes_[at];
        first_sets(here.a, sets, seen);
        if (!nullable(here.a)) return;
        at = here.b;
        if (nodes_[at].op != Op::kConcat) return first_sets(at, sets, seen);
        budget_.step();
        if (seen[at] || budget_.exhausted()) return;
        seen[at] = true;
      }
    case Op::kOr:
    case Op::kAnd:
      for (const TermId part : list(node)) first_sets(part, sets, seen);
      return;
    case Op::kNot:
    case Op::kRepeat:
      return first_sets(node.a, sets, seen);
    case Op::kMultiple:
      sets.push_back(ByteSet::of('.'));
      for (uint8_t digit = '0'; digit <= '9'; ++digit) sets.push_back(ByteSet::of(digit));
      return;
  }
}

// Fills `raw` (dead terms included) and gives the distinct terms in it, but kNever.
std::vector<TermId> Terms::successors(TermId term, Row& raw) {
  std::vector<ByteSet> sets;
  std::vector<bool> seen(nodes_.size());
  first_sets(term, sets, seen);
  std::ranges::sort(sets);
  const auto [begin, end] = std::ranges::unique(sets);
  sets.erase(begin, end);
  budget_.step(sets.size());
  // Bytes that all sets treat alike are one class: refined one set after another.
  std::array<uint16_t, 256> class_of{};
  uint16_t n_classes = 1;
  for (const ByteSet& set : sets) {
    std::array<int16_t, 256> split;
    split.fill(-1);
    std::array<bool, 256> has_outside{};
    for (size_t byte = 0; byte < 256; ++byte) {
      if (!set.has(static_cast<uint8_t>(byte))) has_outside[class_of[byte]] = true;
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      if (!set.has(static_cast<uint8_t>(byte)) || !has_outside[class_of[byte]]) continue;
      int16_t& fresh = split[class_of[byte]];
      if (fresh < 0) fresh = static_cast<int16_t>(n_classes++);
      class_of[byte] = static_cast<uint16_t>(fresh);
      has_outside[static_cast<size_t>(fresh)] = false;
    }
  }
  std::vector<TermId> next(n_classes, kNever);
  std::vector<bool> known(n_classes, false);
  for (size_t byte = 0; byte < 256; ++byte) {
    const uint16_t own = class_of[byte];
    if (!known[own]) next[own] = derive(term, static_cast<uint8_t>(byte));
    known[own] = true;
    raw[byte] = next[own];
  }
  std::ranges::sort(next);
  const auto [first, last] = std::ranges::unique(next);
  next.erase(first, last);
  std::erase(next, kNever);
  return next;
}

const Terms::Row& Terms::make_row(TermId term) {
  budget_.take(kRowBytes);
  auto row = std::make_unique<Row>();
  for (const TermId next : successors(term, *row)) {
    if (nodes_[next].plain || is_live(next)) continue;
    std::ranges::replace(*row, next, kNever);
  }
  if (rows_.size() <= term) rows_.resize(nodes_.size());
  rows_[term] = std::move(row);
  return *rows_[term];
}

// A search for a text: everything on the way to one is live; where the search ends without one,
// nothing that it met is.
bool Terms::is_live(TermId term) {
  if (nodes_[term].plain) return term != kNever;
  if (live_.size() < nodes_.size()) live_.resize(nodes_.size(), Live::kUnknown);
  if (live_[term] != Live::kUnknown) return live_[term] == Live::kYes;
  std::unordered_map<TermId, TermId> came_from{{term, term}};
  std::vector<TermId> open{term};
  Row raw;
  while (!open.empty() && !budget_.exhausted()) {
    const TermId at = open.back();
    open.pop_back();
    const bool found =
        nullable(at) || nodes_[at].plain || (at < live_.size() && live_[at] == Live::kYes);
    if (found) {
      live_.resize(nodes_.size(), Live::kUnknown);
      for (TermId on = at;; on = came_from.at(on)) {
        live_[on] = Live::kYes;
        if (on == term) return true;
      }
    }
    for (const TermId next : successors(at, raw)) {
      if (next < live_.size() && live_[next] == Live::kNo) continue;
      if (came_from.try_emplace(next, at).second) open.push_back(next);
    }
  }
  if (budget_.exhausted()) return true;  // the caller asks the budget; nothing false is remembered
  live_.resize(nodes_.size(), Live::kUnknown);
  for (const auto& [dead, from] : came_from) live_[dead] = Live::kNo;
  return false;
}

bool Terms::matches(TermId term, std::string_view text) {
  for (const char byte : text) {
    term = row(term)[static_cast<uint8_t>(byte)];
    if (term == kNever) return false;
  }
  return nullable(term);
}

}  // namespace maru::grammar
