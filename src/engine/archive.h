// engine/archive.h - conversations that outlive memory and process: from the prefix tree to disk
// when they are over, and back when somebody goes on with them.
//
// Engine tells it what ended and gives it a little time each step, since it works on the engine's
// own thread. It must not know: requests, events, models. Threads: the engine thread.
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "engine/disk_cache.h"
#include "engine/prefix_tree.h"

namespace maru::engine {

// Shorter texts are evaluated again as quickly as they are worth the space.
inline constexpr size_t kArchiveTokensMin = 256;
// Conversations that wait to be saved; of more, the oldest is not saved.
inline constexpr size_t kArchiveWaitingMax = 256;

class Archive {
 public:
  // Requires: the rest outlives this.
  Archive(std::unique_ptr<DiskCache> disk, PrefixTree& tree, BlockPool& pool, model::KvStore& kv);

  // Full blocks of this text are in the tree, and are to be saved.
  void keep(std::vector<TokenId> tokens, const std::string& salt);
  // Saves at most so many blocks of what is to be saved. False where there was nothing to do.
  bool save(size_t n_blocks_max);

  // How far a text that somebody waits for is back.
  struct Return {
    std::vector<DiskCache::Key> keys = {};
    bool is_begun = false;
    bool is_over = false;
  };
  // Brings blocks of a text that the tree lacks back into it, as many as n_blocks_left says, which
  // counts down. take() gives an own block, or none.
  void bring_back(std::span<const TokenId> tokens, const std::string& salt, Return& progress,
                  size_t& n_blocks_left, FunctionRef<std::optional<BlockId>()> take);

  size_t n_blocks() const { return disk_->n_blocks(); }
  uint64_t n_saved() const { return n_saved_; }
  uint64_t n_brought_back() const { return n_brought_back_; }
  void check_integrity() const { disk_->check_integrity(); }

 private:
  struct Text {
    std::vector<TokenId> tokens;
    std::string salt;
    std::vector<DiskCache::Key> keys;
    size_t n_done = 0;
  };

  std::unique_ptr<DiskCache> disk_;
  PrefixTree& tree_;
  BlockPool& pool_;
  model::KvStore& kv_;
  std::deque<Text> texts_;
  uint64_t n_saved_ = 0;  // blocks
  uint64_t n_brought_back_ = 0;
};

}  // namespace maru::engine
