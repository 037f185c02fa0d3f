#include "app/model_hash.h"

#include "base/sha256.h"

namespace maru::app {

Result<std::vector<std::string>> hash_model(const hub::StoredModel& model) {
  std::vector<std::string> hashes;
  for (const std::filesystem::path& part : model.parts) {
    MARU_TRY(hash, sha256_hex_of_file(part));
    hashes.push_back(std::move(hash));
  }
  return hashes;
}

Result<std::vector<std::string>> ModelHashes::of(const hub::StoredModel& model) {
  // The time that it was pulled is taken after its last byte was written.
  if (model.sha256.size() == model.parts.size() && model.modified_at <= model.pulled_at) {
    return model.sha256;
  }
  const std::string path = model.path.string();
  {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find(path);
    if (known != known_.end() && known->second.n_bytes == model.bytes &&
        known->second.modified_at == model.modified_at) {
      return known->second.sha256;
    }
  }
  MARU_TRY(hashes, hash_model(model));  // seconds: not under the lock
  const std::lock_guard lock(mutex_);
  known_[path] = {model.bytes, model.modified_at, hashes};
  return hashes;
}

}  // namespace maru::app
