#include "engine/archive.h"

#include "base/check.h"

namespace maru::engine {

using model::kBlockTokens;

Archive::Archive(std::unique_ptr<DiskCache> disk, PrefixTree& tree, BlockPool& pool,
                 model::KvStore& kv)
    : disk_(std::move(disk)), tree_(tree), pool_(pool), kv_(kv) {}

void Archive::keep(std::vector<TokenId> tokens, const std::string& salt) {
  if (tokens.size() < kArchiveTokensMin) return;
  std::vector<DiskCache::Key> keys = disk_->keys(tokens, salt);
  texts_.push_back({std::move(tokens), salt, std::move(keys)});
  if (texts_.size() > kArchiveWaitingMax) texts_.pop_front();
}

bool Archive::save(size_t n_blocks_max) {
  size_t n_left = n_blocks_max;
  while (!texts_.empty()) {
    Text& text = texts_.front();
    while (text.n_done < text.keys.size()) {
      const size_t i = text.n_done;
      if (!disk_->touch(text.keys[i])) {
        if (n_left == 0) return true;
        --n_left;
        const auto tokens = std::span(text.tokens).first((i + 1) * kBlockTokens);
        const auto block = tree_.block_at(tokens, text.salt);
        // Evicted in the meantime, or the disk is full: what follows would be of no use.
        if (!block || !disk_->save(text.keys[i], kv_.block_bytes(*block))) break;
        ++n_saved_;
      }
      ++text.n_done;
    }
    texts_.pop_front();
  }
  return n_left < n_blocks_max;
}

void Archive::bring_back(std::span<const TokenId> tokens, const std::string& salt, Return& progress,
                         size_t& n_blocks_left, FunctionRef<std::optional<BlockId>()> take) {
  if (!progress.is_begun) progress.keys = disk_->keys(tokens, salt);
  progress.is_begun = true;
  const PrefixTree::Match match = tree_.find(tokens, salt);
  size_t i = match.n_tokens / kBlockTokens;
  std::vector<BlockId> blocks(match.blocks.begin(),
                              match.blocks.begin() + static_cast<ptrdiff_t>(i));
  for (const BlockId block : blocks) pool_.share(block);  // so that take() does not evict them
  const size_t n_before = i;
  while (!progress.is_over) {
    progress.is_over = i == progress.keys.size() || !disk_->contains(progress.keys[i]);
    if (progress.is_over || n_blocks_left == 0) break;
    const auto block = take();
    progress.is_over = !block || !disk_->load(progress.keys[i], kv_.block_bytes(*block));
    if (block) blocks.push_back(*block);
    if (progress.is_over) break;
    --n_blocks_left;
    ++n_brought_back_;
    ++i;
  }
  if (i > n_before) tree_.insert(tokens.first(i * kBlockTokens), salt, blocks);
  pool_.release(blocks);
}

}  // namespace maru::engine
