// engine/prefix_claims.h - which blocks of prompts are being computed, so that others that begin
// alike wait for them instead of doing the same work.
//
// Engine owns it. A block is known by a hash of its tokens and all before them, and the salt; that
// two hashes are equal by chance costs a wait and nothing else. Threads: the engine thread.
#pragma once
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/request.h"
#include "model/model.h"

namespace maru::engine {

class PrefixClaims {
 public:
  using Key = uint64_t;

  // One for each block of the prompt; the last may be one in part.
  static std::vector<Key> keys(std::span<const TokenId> prompt, const std::string& salt) {
    std::vector<Key> keys;
    uint64_t hash = std::hash<std::string>()(salt);
    for (size_t i = 0; i < prompt.size(); ++i) {
      hash = (hash ^ static_cast<uint32_t>(prompt[i])) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 29;
      if ((i + 1) % model::kBlockTokens == 0 || i + 1 == prompt.size()) keys.push_back(hash);
    }
    return keys;
  }

  void claim(std::span<const Key> keys, WorkClass by) {
    for (const Key key : keys) claims_[key].insert(by);
  }
  void release(std::span<const Key> keys, WorkClass by) {
    for (const Key key : keys) {
      const auto found = claims_.find(key);
      found->second.erase(found->second.find(by));
      if (found->second.empty()) claims_.erase(found);
    }
  }
  // Whether work that is no less urgent computes one of these.
  bool any(std::span<const Key> keys, WorkClass of) const {
    if (claims_.empty()) return false;
    for (const Key key : keys) {
      const auto found = claims_.find(key);
      if (found != claims_.end() && *found->second.begin() <= of) return true;
    }
    return false;
  }
  size_t size() const { return claims_.size(); }

 private:
  std::unordered_map<Key, std::multiset<WorkClass>> claims_;
};

}  // namespace maru::engine
