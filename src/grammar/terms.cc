// grammar/terms.cc - making terms: every constructor simplifies, so that few terms mean the same.
#include "grammar/terms.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "grammar/utf8_ranges.h"

namespace maru::grammar {
namespace {

// Of a node with its place in the tables, roughly.
constexpr size_t kNodeBytes = 96;
// The most terms that are joined or met at once.
constexpr size_t kListMax = 1 << 16;

uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15u + (hash << 6) + (hash >> 2);
  return hash * 0xBF58476D1CE4E5B9u;
}

}  // namespace

Terms::Terms(Budget& budget) : budget_(budget) {
  nodes_.resize(2);
  nodes_[kEmpty].op = Op::kEmpty;
  nodes_[kEmpty].nullable = nodes_[kEmpty].utf8 = nodes_[kNever].utf8 = true;
  CHECK(add({.op = Op::kNot, .nullable = true, .bounded = false, .a = kNever}) == kAllBytes);
  any_char_ = chars(std::array{CharRange{0, 0x10FFFF}});
  any_string_ = repeat(any_char_, 0, kNoMax);
}

TermId Terms::add(Node node, std::span<const TermId> list_of) {
  budget_.step();
  uint64_t hash = static_cast<uint64_t>(node.op);
  if (list_of.empty()) {
    hash = mix(mix(mix(hash, node.a), node.b), node.c);
  } else {
    for (const TermId term : list_of) hash = mix(hash, term);
  }
  const auto [begin, end] = ids_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const Node& other = nodes_[it->second];
    if (other.op != node.op) continue;
    const bool same = list_of.empty() ? other.a == node.a && other.b == node.b && other.c == node.c
                                      : std::ranges::equal(list(other), list_of);
    if (same) return it->second;
  }
  if (budget_.exhausted()) return kNever;
  budget_.take(kNodeBytes + list_of.size() * sizeof(TermId));
  if (!list_of.empty()) {
    node.a = static_cast<uint32_t>(lists_.size());
    node.b = static_cast<uint32_t>(list_of.size());
    lists_.insert(lists_.end(), list_of.begin(), list_of.end());
  }
  const auto id = static_cast<TermId>(nodes_.size());
  nodes_.push_back(node);
  ids_.emplace(hash, id);
  return id;
}

TermId Terms::bytes(const ByteSet& set) {
  if (set.empty()) return kNever;
  auto [found, is_new] = set_ids_.try_emplace(set, static_cast<uint32_t>(sets_.size()));
  if (is_new) sets_.push_back(set);
  return add(
      {.op = Op::kBytes, .utf8 = set.is_ascii(), .one_char = set.is_ascii(), .a = found->second});
}

// Bytes above 0x7F are no characters alone; the whole may be, and says so.
void Terms::mark_text(TermId term, std::string_view text) {
  if (term != kNever && is_valid_utf8(text)) nodes_[term].utf8 = true;
}

TermId Terms::literal(std::string_view text) {
  TermId term = kEmpty;
  for (size_t i = text.size(); i > 0; --i) {
    term = concat(bytes(ByteSet::of(static_cast<uint8_t>(text[i - 1]))), term);
  }
  mark_text(term, text);
  return term;
}

namespace {

// One term for sorted, distinct texts that share `depth` bytes, as a tree of their beginnings.
TermId prefix_tree(Terms& terms, std::span<const std::string_view> texts, size_t depth) {
  if (texts.size() == 1) return terms.literal(texts[0].substr(depth));
  const std::string_view first = texts.front(), last = texts.back();
  size_t shared = depth;
  while (shared < first.size() && first[shared] == last[shared]) ++shared;
  std::vector<TermId> branches;
  if (first.size() == shared) {
    branches.push_back(kEmpty);
    texts = texts.subspan(1);
  }
  while (!texts.empty()) {
    const char byte = texts.front()[shared];
    const auto end =
        std::ranges::find_if(texts, [&](std::string_view text) { return text[shared] != byte; });
    const auto n = static_cast<size_t>(end - texts.begin());
    const TermId head = terms.bytes(ByteSet::of(static_cast<uint8_t>(byte)));
    branches.push_back(terms.concat(head, prefix_tree(terms, texts.first(n), shared + 1)));
    texts = texts.subspan(n);
  }
  return terms.concat(terms.literal(first.substr(depth, shared - depth)),
                      terms.either(std::move(branches)));
}

}  // namespace

TermId Terms::one_of(std::vector<std::string_view> texts) {
  std::ranges::sort(texts);
  const auto [begin, end] = std::ranges::unique(texts);
  texts.erase(begin, end);
  if (texts.empty()) return kNever;
  const TermId term = prefix_tree(*this, texts, 0);
  if (std::ranges::all_of(texts, is_valid_utf8)) mark_text(term, {});
  return term;
}

TermId Terms::chars(std::span<const CharRange> ranges) {
  std::vector<TermId> parts;
  for_each_utf8_range(ranges, [&](std::span<const Utf8ByteRange> sequence) {
    TermId term = kEmpty;
    for (size_t i = sequence.size(); i > 0; --i) {
      term = concat(bytes(ByteSet::range(sequence[i - 1].first, sequence[i - 1].last)), term);
    }
    parts.push_back(term);
  });
  const TermId term = either(std::move(parts));
  if (term != kNever) nodes_[term].utf8 = nodes_[term].one_char = true;
  return term;
}

TermId Terms::concat(TermId a, TermId b) {
  if (a == kNever || b == kNever) return kNever;
  if (a == kEmpty) return b;
  if (b == kEmpty) return a;
  // Lists lean to the right: (xy)b is x(yb).
  std::vector<TermId> heads;
  while (nodes_[a].op == Op::kConcat) {
    heads.push_back(nodes_[a].a);
    a = nodes_[a].b;
  }
  heads.push_back(a);
  for (size_t i = heads.size(); i > 0; --i) {
    const Node head = nodes_[heads[i - 1]], tail = nodes_[b];
    b = add({.op = Op::kConcat,
             .nullable = head.nullable && tail.nullable,
             .plain = head.plain && tail.plain,
             .utf8 = head.utf8 && tail.utf8,
             .bounded = head.bounded && tail.bounded,
             .a = heads[i - 1],
             .b = b});
    if (b == kNever) return kNever;
  }
  return b;
}

TermId Terms::concat(std::initializer_list<TermId> terms) {
  TermId term = kEmpty;
  for (const TermId* part = terms.end(); part != terms.begin();) term = concat(*--part, term);
  return term;
}

void Terms::flatten(Op op, std::vector<TermId>& terms) const {
  for (size_t i = 0; i < terms.size();) {
    const Node& node = nodes_[terms[i]];
    if (node.op != op) {
      ++i;
      continue;
    }
    const auto parts = list(node);
    if (terms.size() + parts.size() > kListMax) {  // long before memory is felt
      budget_.step(UINT64_MAX);
      return terms.clear();
    }
    terms[i] = terms.back();
    terms.pop_back();
    terms.insert(terms.end(), parts.begin(), parts.end());
  }
  std::ranges::sort(terms);
  const auto [begin, end] = std::ranges::unique(terms);
  terms.erase(begin, end);
}

// Byte sets with the same rest behind them become one: ax|bx is [ab]x.
void Terms::merge_heads(std::vector<TermId>& terms) {
  struct Head {
    TermId rest;
    ByteSet set;
    TermId term;
    size_t n;
  };
  std::unordered_map<TermId, size_t> place;
  std::vector<Head> heads;
  std::vector<TermId> others;
  for (const TermId term : terms) {
    const Node& node = nodes_[term];
    const bool is_bytes = node.op == Op::kBytes;
    if (!is_bytes && !(node.op == Op::kConcat && nodes_[node.a].op == Op::kBytes)) {
      others.push_back(term);
      continue;
    }
    const TermId rest = is_bytes ? kEmpty : node.b;
    const ByteSet set = sets_[is_bytes ? node.a : nodes_[node.a].a];
    const auto [found, is_new] = place.try_emplace(rest, heads.size());
    if (is_new) {
      heads.push_back({rest, set, term, 1});
    } else {
      Head& head = heads[found->second];
      head.set = head.set | set;
      ++head.n;
    }
  }
  terms = std::move(others);
  for (const Head& head : heads) {
    terms.push_back(head.n == 1 ? head.term : concat(bytes(head.set), head.rest));
  }
  std::ranges::sort(terms);
}

TermId Terms::either(std::vector<TermId> terms) {
  budget_.step(terms.size());
  flatten(Op::kOr, terms);
  std::erase(terms, kNever);
  if (terms.size() > 1) merge_heads(terms);
  std::erase(terms, kNever);
  if (std::ranges::find(terms, kAllBytes) != terms.end()) return kAllBytes;
  const auto is_nullable = [&](TermId term) { return term != kEmpty && nullable(term); };
  if (std::ranges::any_of(terms, is_nullable)) std::erase(terms, kEmpty);
  if (terms.empty()) return kNever;
  if (terms.size() == 1) return terms[0];
  Node node{.op = Op::kOr, .utf8 = true, .one_char = true};
  for (const TermId term : terms) {
    const Node& part = nodes_[term];
    node.nullable = node.nullable || part.nullable;
    node.plain = node.plain && part.plain;
    node.utf8 = node.utf8 && part.utf8;
    node.one_char = node.one_char && part.one_char;
    node.bounded = node.bounded && part.bounded;
  }
  return add(node, terms);
}

// c{a,b} and any character {m,n} is c{max(a,m),min(b,n)}: lengths and classes meet in one loop.
// False where nothing is left.
bool Terms::meet_loops(std::vector<TermId>& terms) {
  Loop found, loop;
  size_t at = terms.size();
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i] == kNever || !is_loop(terms[i], loop)) continue;
    if (at == terms.size()) {
      at = i;
      found = loop;
      continue;
    }
    if (found.one != loop.one && found.one != any_char_ && loop.one != any_char_) continue;
    const TermId one = found.one == any_char_ ? loop.one : found.one;
    found = {one, std::max(found.min, loop.min), std::min(found.max, loop.max)};
    if (found.min > found.max) return false;
    terms[at] = repeat(found.one, found.min, found.max);
    terms.erase(terms.begin() + static_cast<ptrdiff_t>(i--));
  }
  return true;
}

TermId Terms::both(std::vector<TermId> terms) {
  budget_.step(terms.size());
  flatten(Op::kAnd, terms);
  std::erase(terms, kAllBytes);
  if (terms.empty()) return kAllBytes;
  if (terms[0] == kNever) return kNever;
  const bool all_nullable = std::ranges::all_of(terms, [&](TermId term) { return nullable(term); });
  if (terms[0] == kEmpty) return all_nullable ? kEmpty : kNever;
  if (!meet_loops(terms)) return kNever;
  const bool has_utf8 = std::ranges::any_of(
      terms, [&](TermId term) { return term != any_string_ && nodes_[term].utf8; });
  if (has_utf8) std::erase(terms, any_string_);
  std::ranges::sort(terms);
  if (terms.size() == 1) return terms[0];
  Node node{.op = Op::kAnd, .nullable = all_nullable, .plain = false};
  for (const TermId term : terms) {
    node.utf8 = node.utf8 || nodes_[term].utf8;
    node.one_char = node.one_char || nodes_[term].one_char;
    node.bounded = node.bounded && nodes_[term].bounded;
    if (nodes_[term].op == Op::kNot && std::ranges::binary_search(terms, nodes_[term].a)) {
      return kNever;
    }
  }
  // Sets of bytes meet at once, and with them everything whose beginning they are.
  if (std::ranges::all_of(terms, [&](TermId t) { return nodes_[t].op == Op::kBytes; })) {
    ByteSet set = ~ByteSet();
    for (const TermId term : terms) set = set & sets_[nodes_[term].a];
    return bytes(set);
  }
  return add(node, terms);
}

TermId Terms::negate(TermId term) {
  if (term == kNever) return kAllBytes;
  if (nodes_[term].op == Op::kNot) return nodes_[term].a;
  return add(
      {.op = Op::kNot, .nullable = !nullable(term), .plain = false, .bounded = false, .a = term});
}

TermId Terms::repeat(TermId term, uint32_t min, uint32_t max) {
  DCHECK(min <= max);
  if (max == 0) return kEmpty;
  if (term == kNever) return min == 0 ? kEmpty : kNever;
  if (term == kEmpty || (min == 1 && max == 1)) return term;
  const Node node = nodes_[term];
  if (node.nullable) min = 0;
  // (x{0,b}){m,n} is x{0,bn}, (x{1,b}){m,n} is x{m,bn}.
  if (node.op == Op::kRepeat && node.b <= 1) {
    const uint64_t product = uint64_t{node.c} * max;
    const bool endless = node.c == kNoMax || max == kNoMax;
    if (endless || product < kNoMax) {
      return repeat(node.a, node.b == 0 ? 0 : min,
                    endless ? kNoMax : static_cast<uint32_t>(product));
    }
  }
  return add({.op = Op::kRepeat,
              .nullable = min == 0,
              .plain = node.plain,
              .utf8 = node.utf8,
              .bounded = node.bounded && max != kNoMax,
              .a = term,
              .b = min,
              .c = max});
}

TermId Terms::multiple(uint64_t divisor, uint32_t n_decimals) {
  CHECK(divisor >= 1 && divisor <= uint64_t{1} << 32);
  return multiple(Multiple{divisor, 0, n_decimals, false});
}

TermId Terms::multiple(const Multiple& state) {
  auto [found, is_new] = multiple_ids_.try_emplace(state, static_cast<uint32_t>(multiples_.size()));
  if (is_new) multiples_.push_back(state);
  uint64_t rest = state.rest;
  for (uint32_t i = 0; i < state.n_decimals && rest != 0; ++i) rest = rest * 10 % state.divisor;
  return add({.op = Op::kMultiple,
              .nullable = rest == 0,
              .utf8 = true,
              .bounded = false,
              .a = found->second});
}

bool Terms::is_nearly_any_string(TermId term) const {
  const Node& node = nodes_[term];
  if (term == any_string_) return true;
  if (node.op != Op::kAnd) return false;
  const auto parts = list(node);
  return std::ranges::find(parts, any_string_) != parts.end() &&
         std::ranges::all_of(parts, [this](TermId part) {
           return part == any_string_ ||
                  (nodes_[part].op == Op::kNot && nodes_[nodes_[part].a].bounded);
         });
}

bool Terms::is_loop(TermId term, Loop& loop) const {
  const Node& node = nodes_[term];
  if (node.one_char) {
    loop = {term, 1, 1};
    return true;
  }
  if (node.op != Op::kRepeat || !nodes_[node.a].one_char) return false;
  loop = {node.a, node.b, node.c};
  return true;
}

}  // namespace maru::grammar
