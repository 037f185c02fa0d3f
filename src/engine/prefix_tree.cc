#include "engine/prefix_tree.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace maru::engine {
namespace {

using model::kBlockTokens;

size_t common_beginning(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

std::span<const TokenId> block_of(std::span<const TokenId> tokens, size_t begin) {
  return tokens.subspan(begin, std::min(kBlockTokens, tokens.size() - begin));
}

}  // namespace

// No node's tokens are the beginning of a sibling's: the longer one serves for both.
struct PrefixTree::Node {
  Node* parent = nullptr;  // null: a root
  Tokens tokens;           // 1 to kBlockTokens; fewer: nothing follows
  BlockId block = 0;
  std::map<size_t, StateId> states;  // by how many of `tokens` they have seen
  std::map<Tokens, std::unique_ptr<Node>> children;
  uint64_t last_use = 0;
};

PrefixTree::PrefixTree(BlockPool& blocks, BlockPool& states, bool has_states)
    : blocks_(blocks), states_(states), has_states_(has_states) {}

// Not by recursion: a long text is a deep tree.
PrefixTree::~PrefixTree() {
  while (!leaves_.empty()) remove(*leaves_.begin()->second);
}

void PrefixTree::unorder(Node& node) {
  leaves_.erase({node.last_use, &node});
  with_states_.erase({node.last_use, &node});
}

void PrefixTree::order(Node& node) {
  if (node.parent == nullptr) return;
  if (node.children.empty()) leaves_.insert({node.last_use, &node});
  if (!node.states.empty()) with_states_.insert({node.last_use, &node});
}

void PrefixTree::use(Node& node) {
  unorder(node);
  node.last_use = ++now_;
  order(node);
}

PrefixTree::Node& PrefixTree::add(Node& parent, Tokens tokens, BlockId block) {
  auto node = std::make_unique<Node>();
  node->parent = &parent;
  node->block = block;
  node->tokens = tokens;
  blocks_.keep(block);
  unorder(parent);
  Node& added = *parent.children.emplace(std::move(tokens), std::move(node)).first->second;
  order(parent);
  ++n_nodes_;
  return added;
}

void PrefixTree::remove(Node& node) {
  CHECK(node.children.empty() && node.parent != nullptr);
  unorder(node);
  blocks_.drop(node.block);
  for (const auto& [n, state] : node.states) states_.release(state);
  Node& parent = *node.parent;
  unorder(parent);
  const auto self = parent.children.find(node.tokens);
  parent.children.erase(self);
  order(parent);
  --n_nodes_;
}

void PrefixTree::remove_from_root(Node& node) {
  const Node* parent = node.parent;
  remove(node);
  if (parent->parent != nullptr || !parent->children.empty()) return;
  std::erase_if(roots_, [&](const auto& root) { return root.second.get() == parent; });
}

PrefixTree::Path PrefixTree::walk(std::span<const TokenId> tokens, const std::string& salt) const {
  Path path;
  const auto root = roots_.find(salt);
  if (root == roots_.end()) return path;
  const Node* node = root->second.get();
  while (path.n_tokens < tokens.size()) {
    const auto wanted = block_of(tokens, path.n_tokens);
    const auto& children = node->children;
    // Those that share most stand next to where it would stand.
    auto each = children.lower_bound(Tokens(wanted.begin(), wanted.end()));
    Node* best = nullptr;
    size_t n_best = 0;
    const auto consider = [&](const auto& child) {
      const size_t n = common_beginning(child->first, wanted);
      if (n > n_best) {
        n_best = n;
        best = child->second.get();
      }
    };
    if (each != children.end()) consider(each);
    if (each != children.begin()) consider(std::prev(each));
    if (best == nullptr) break;
    path.nodes.push_back(best);
    path.n_tokens += n_best;
    if (n_best < kBlockTokens) break;
    node = best;
  }
  return path;
}

void PrefixTree::insert(std::span<const TokenId> tokens, const std::string& salt,
                        std::vector<BlockId>& blocks) {
  CHECK(blocks.size() * kBlockTokens >= tokens.size());
  if (tokens.empty()) return;
  auto& root = roots_[salt];
  if (root == nullptr) root = std::make_unique<Node>();
  Node* node = root.get();
  for (size_t begin = 0, i = 0; begin < tokens.size(); begin += kBlockTokens, ++i) {
    const auto part = block_of(tokens, begin);
    Tokens key(part.begin(), part.end());
    const auto next = node->children.lower_bound(key);
    if (next != node->children.end() && common_beginning(next->first, key) == key.size()) {
      node = next->second.get();  // the same, or longer
      if (key.size() == kBlockTokens && node->block != blocks[i]) {
        blocks_.share(node->block);
        blocks_.release(blocks[i]);
        blocks[i] = node->block;
      }
    } else {
      std::map<size_t, StateId> states;
      if (next != node->children.begin()) {
        Node& before = *std::prev(next)->second;
        if (common_beginning(before.tokens, key) == before.tokens.size()) {
          unorder(before);  // it is the beginning of the new one, which serves for both
          states = std::exchange(before.states, {});
          remove(before);
        }
      }
      node = &add(*node, std::move(key), blocks[i]);
      node->states = std::move(states);
    }
    use(*node);
  }
}

void PrefixTree::insert_state(std::span<const TokenId> tokens, const std::string& salt,
                              StateId state) {
  const Path path = walk(tokens, salt);
  CHECK(!tokens.empty() && path.n_tokens == tokens.size());
  Node& node = *path.nodes.back();
  const size_t n = tokens.size() - (path.nodes.size() - 1) * kBlockTokens;
  unorder(node);
  if (!node.states.emplace(n, state).second) states_.release(state);
  order(node);
}

void PrefixTree::forget(std::span<const TokenId> tokens, const std::string& salt, size_t n_good) {
  Path path = walk(tokens, salt);
  while (path.nodes.size() * kBlockTokens > n_good && !path.nodes.empty()) {
    Node& last = *path.nodes.back();
    const bool is_ours =
        common_beginning(last.tokens, tokens.subspan((path.nodes.size() - 1) * kBlockTokens)) ==
        last.tokens.size();
    if (!is_ours || !last.children.empty()) return;
    path.nodes.pop_back();
    remove_from_root(last);
  }
}

PrefixTree::Match PrefixTree::find(std::span<const TokenId> tokens, const std::string& salt) {
  Path path = walk(tokens, salt);
  Match match;
  match.n_tokens = path.n_tokens;
  if (has_states_) {
    match.n_tokens = 0;
    for (size_t i = 0; i < path.nodes.size(); ++i) {
      for (const auto& [n, state] : path.nodes[i]->states) {
        if (i * kBlockTokens + n > path.n_tokens) break;
        match.n_tokens = i * kBlockTokens + n;
        match.state = state;
      }
    }
  }
  for (size_t i = 0; i * kBlockTokens < match.n_tokens; ++i) {
    match.blocks.push_back(path.nodes[i]->block);
    use(*path.nodes[i]);
  }
  return match;
}

std::optional<BlockId> PrefixTree::block_at(std::span<const TokenId> tokens,
                                            const std::string& salt) const {
  CHECK(!tokens.empty() && tokens.size() % kBlockTokens == 0);
  const Path path = walk(tokens, salt);
  if (path.n_tokens < tokens.size()) return std::nullopt;
  return path.nodes.back()->block;
}

bool PrefixTree::evict() {
  for (const auto& [last_use, node] : leaves_) {
    if (!blocks_.is_idle(node->block)) continue;  // it is among the last blocks of what runs
    remove_from_root(*node);
    return true;
  }
  return false;
}

bool PrefixTree::evict_state() {
  if (with_states_.empty()) return false;
  Node& node = *with_states_.begin()->second;
  unorder(node);
  states_.release(node.states.begin()->second);
  node.states.erase(node.states.begin());
  order(node);
  return true;
}

void PrefixTree::visit(const Node& node, const std::function<void(const Node&)>& each) const {
  for (const auto& [tokens, child] : node.children) {
    each(*child);
    visit(*child, each);
  }
}

void PrefixTree::append_holders(std::vector<BlockId>& blocks, std::vector<StateId>& states) const {
  for (const auto& [salt, root] : roots_) {
    visit(*root, [&](const Node& node) {
      blocks.push_back(node.block);
      for (const auto& [n, state] : node.states) states.push_back(state);
    });
  }
}

void PrefixTree::check_integrity() const {
  size_t n_nodes = 0, n_leaves = 0, n_with_states = 0;
  for (const auto& [salt, root] : roots_) {
    CHECK(!root->children.empty());
    visit(*root, [&](const Node& node) {
      ++n_nodes;
      CHECK(!node.tokens.empty() && node.tokens.size() <= kBlockTokens);
      CHECK(node.children.empty() || node.tokens.size() == kBlockTokens);
      const auto& siblings = node.parent->children;
      const auto next = std::next(siblings.find(node.tokens));
      CHECK(next == siblings.end() ||
            common_beginning(node.tokens, next->first) < node.tokens.size());
      for (const auto& [n, state] : node.states) CHECK(n >= 1 && n <= node.tokens.size());
      if (node.children.empty()) ++n_leaves;
      if (!node.states.empty()) ++n_with_states;
    });
  }
  CHECK(n_nodes == n_nodes_ && n_leaves == leaves_.size());
  CHECK(n_with_states == with_states_.size());
}

}  // namespace maru::engine
