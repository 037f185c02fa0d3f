// engine/prefix_tree.h - the KV that prompts may begin with: a tree of blocks, by their tokens.
//
// A chat sends its whole history each turn, and many chats begin alike; what was evaluated before,
// or is held by a sequence that runs now, is not evaluated again. Each node is one block below the
// block of the tokens before it, so that a path is a text and a fork is shared up to where it
// forks. Full blocks are shared, one that matches in part is copied. The logits do not change by a
// bit (batch invariance).
// Keyed by salt and tokens within one engine, which holds one model and one KV type; an adapter is
// part of the salt. Engine owns it. Threads: the engine thread.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/block_pool.h"
#include "engine/request.h"

namespace maru::engine {

class PrefixTree {
 public:
  // Requires: both pools outlive this. has_states: the model goes on from kept states only.
  PrefixTree(BlockPool& blocks, BlockPool& states, bool has_states);
  ~PrefixTree();

  // Keeps the blocks of `tokens`, of which the last may be filled in part and be written to further
  // on. Where the tree has a full block already, the caller's is released and replaced by it.
  // Requires: the caller holds the blocks, which cover the tokens at least.
  void insert(std::span<const TokenId> tokens, const std::string& salt,
              std::vector<BlockId>& blocks);
  // Takes over the caller's hold on a state that stands at the end of `tokens`.
  // Requires: insert(tokens, salt, ...) was just called.
  void insert_state(std::span<const TokenId> tokens, const std::string& salt, StateId state);
  // Lets go of what only `tokens` beyond the first n_good lead to: their blocks may be damaged.
  void forget(std::span<const TokenId> tokens, const std::string& salt, size_t n_good);

  struct Match {
    size_t n_tokens = 0;
    std::vector<BlockId> blocks;   // that hold them, the last one maybe in part; not yet held
    std::optional<StateId> state;  // at n_tokens, where the model has states; not yet held
  };
  // The longest beginning of `tokens` that is there under this salt; with states, the longest that
  // has one. It counts as used.
  Match find(std::span<const TokenId> tokens, const std::string& salt);

  // The last block of a text of full blocks, where all of it is there. It does not count as used.
  std::optional<BlockId> block_at(std::span<const TokenId> tokens, const std::string& salt) const;

  // Lets go of the block that was used longest ago, of those that nobody holds and nothing follows.
  // False where there is none.
  bool evict();
  // The same for states.
  bool evict_state();

  size_t n_kept() const { return n_nodes_; }
  void append_holders(std::vector<BlockId>& blocks, std::vector<StateId>& states) const;
  // Aborts where the tree contradicts itself.
  void check_integrity() const;

 private:
  struct Node;
  using Tokens = std::vector<TokenId>;
  using UseOrder = std::set<std::pair<uint64_t, Node*>>;  // (last use, node)
  // What a walk from the root met: nodes that match whole, and at the end maybe one in part.
  struct Path {
    std::vector<Node*> nodes;
    size_t n_tokens = 0;
  };

  Path walk(std::span<const TokenId> tokens, const std::string& salt) const;
  Node& add(Node& parent, Tokens tokens, BlockId block);
  void remove(Node& node);
  void remove_from_root(Node& node);  // and the root, where it was the last
  void visit(const Node& node, const std::function<void(const Node&)>& each) const;
  void use(Node& node);
  void order(Node& node);
  void unorder(Node& node);

  BlockPool& blocks_;
  BlockPool& states_;
  const bool has_states_;
  std::map<std::string, std::unique_ptr<Node>> roots_;  // by salt; hold no tokens
  size_t n_nodes_ = 0;
  uint64_t now_ = 0;      // counts uses
  UseOrder leaves_;       // nothing follows them
  UseOrder with_states_;  // have states
};

}  // namespace maru::engine
