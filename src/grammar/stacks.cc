#include "grammar/stacks.h"

#include <algorithm>
#include <array>

namespace maru::grammar {
namespace {

// The node below the root, and the list of it alone.
constexpr uint32_t kBottomNode = 0;
constexpr uint32_t kBottom = 0;

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

uint64_t hash_of(const Frame& frame, uint32_t below) {
  uint64_t hash = mix(uint64_t{frame.kind} | uint64_t{frame.n_white} << 8, frame.id);
  hash = mix(hash, frame.x | uint64_t{frame.y} << 32);
  return mix(hash, frame.z | uint64_t{below} << 32);
}

}  // namespace

void Stacks::Table::place(uint32_t id) {
  size_t i = hashes_[id] & mask();
  while (slots_[i] != kNone) i = (i + 1) & mask();
  slots_[i] = id;
}

void Stacks::Table::push(uint64_t hash) {
  hashes_.push_back(hash);
  if (hashes_.size() * 2 > slots_.size()) {
    slots_.assign(std::max<size_t>(64, slots_.size() * 2), kNone);
    for (uint32_t id = 0; id + 1 < hashes_.size(); ++id) place(id);
  }
  place(static_cast<uint32_t>(hashes_.size() - 1));
}

void Stacks::Table::pop() {
  const auto id = static_cast<uint32_t>(hashes_.size() - 1);
  size_t i = hashes_[id] & mask();
  while (slots_[i] != id) i = (i + 1) & mask();
  slots_[i] = kNone;
  hashes_.pop_back();
}

uint32_t Stacks::node_of(const Frame& frame, uint32_t below) {
  const uint64_t hash = hash_of(frame, below);
  const uint32_t found = node_table_.find(
      hash, [&](uint32_t id) { return nodes_[id].below == below && nodes_[id].frame == frame; });
  if (found != kNone) return found;
  nodes_.push_back({frame, below});
  lists_at_node_.push_back(lists_.size());
  node_table_.push(hash);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

// Requires: sorted, distinct.
uint32_t Stacks::list_of(std::span<const uint32_t> nodes) {
  uint64_t hash = nodes.size();
  for (const uint32_t node : nodes) hash = mix(hash, node);
  const uint32_t found =
      list_table_.find(hash, [&](uint32_t id) { return std::ranges::equal(list(id), nodes); });
  if (found != kNone) return found;
  lists_.push_back({static_cast<uint32_t>(pool_.size()), static_cast<uint32_t>(nodes.size())});
  pool_.insert(pool_.end(), nodes.begin(), nodes.end());
  list_table_.push(hash);
  return static_cast<uint32_t>(lists_.size() - 1);
}

// A list that was made for a forgotten node goes with it.
void Stacks::forget(size_t mark) {
  if (mark >= nodes_.size()) return;
  const size_t n_lists = lists_at_node_[mark];
  while (nodes_.size() > mark) {
    node_table_.pop();
    nodes_.pop_back();
  }
  lists_at_node_.resize(mark);
  while (lists_.size() > n_lists) {
    list_table_.pop();
    pool_.resize(lists_.back().begin);
    lists_.pop_back();
  }
}

size_t Stacks::n_bytes() const {
  return nodes_.capacity() * (sizeof(Node) + sizeof(size_t)) + lists_.capacity() * sizeof(List) +
         pool_.capacity() * 4 + node_table_.n_bytes() + list_table_.n_bytes();
}

Tops Stacks::begin() {
  node_of({}, kBottom);
  list_of(std::array{kBottomNode});
  items_.assign(1, {program_.root, kBottom});
  Tops tops;
  close(tops);
  return tops;
}

void Stacks::step(std::span<const uint32_t> tops, uint8_t byte, Tops& next) {
  items_.clear();
  ended_ = false;
  for (const uint32_t top : tops) {
    const Node node = nodes_[top];
    moves_.clear();
    program_.step(node.frame, byte, moves_);
    const size_t n = moves_.size();
    for (size_t i = 0; i < n; ++i) apply(moves_[i], node.below);
  }
  close(next);
}

void Stacks::pop(uint32_t node, Tops& next) {
  items_.clear();
  ended_ = false;
  apply({Move::kPop, {}, {}}, nodes_[node].below);
  close(next);
}

void Stacks::apply(const Move& move, uint32_t below) {
  switch (move.kind) {
    case Move::kStay:
      items_.push_back({move.top, below});
      return;
    case Move::kPush: {
      const uint32_t ret = node_of(move.below, below);
      items_.push_back({move.top, list_of(std::span(&ret, 1))});
      return;
    }
    case Move::kPop:
      for (const uint32_t node : list(below)) {
        if (node == kBottomNode) {
          ended_ = true;
        } else {
          items_.push_back({nodes_[node].frame, nodes_[node].below});
        }
      }
      return;
  }
}

// Follows what needs no byte, then joins stacks with the same frame on top.
void Stacks::close(Tops& next) {
  next.nodes.clear();
  resting_.clear();
  const auto is_same = [](const Item& a, const Item& b) {
    return a.below == b.below && a.frame == b.frame;
  };
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item item = items_[i];
    if (items_.size() > kMovesMax || resting_.size() > kTopsMax || !ok()) {
      overflow_ = true;
      next.ended = false;
      return;
    }
    bool known = false;
    for (size_t j = 0; j < i && !known; ++j) known = is_same(items_[j], item);
    if (known) continue;
    moves_.clear();
    if (program_.expand(item.frame, moves_)) resting_.push_back(item);
    const size_t n = moves_.size();
    for (size_t j = 0; j < n; ++j) apply(moves_[j], item.below);
  }
  next.ended = ended_;
  ended_ = false;
  std::vector<uint32_t> below;
  std::vector<bool> done(resting_.size());
  for (size_t i = 0; i < resting_.size(); ++i) {
    if (done[i]) continue;
    below.clear();
    bool joined = false;
    for (size_t j = i + 1; j < resting_.size(); ++j) {
      if (done[j] || !(resting_[j].frame == resting_[i].frame)) continue;
      done[j] = joined = true;
      const auto more = list(resting_[j].below);
      below.insert(below.end(), more.begin(), more.end());
    }
    uint32_t below_id = resting_[i].below;
    if (joined) {
      const auto own = list(below_id);
      below.insert(below.end(), own.begin(), own.end());
      std::ranges::sort(below);
      const auto [first, last] = std::ranges::unique(below);
      below.erase(first, last);
      below_id = list_of(below);
    }
    next.nodes.push_back(node_of(resting_[i].frame, below_id));
  }
  std::ranges::sort(next.nodes);
}

}  // namespace maru::grammar
