// app/model_hash.h - the SHA-256 of a model's files, for receipts and fingerprints.
//
// Threads: any.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/store.h"

namespace maru::app {

// Reads every part. Errors: kNotFound, kIo, kCorrupt where a file shrinks meanwhile.
Result<std::vector<std::string>> hash_model(const hub::StoredModel& model);

// What the store knows of a file that was not changed since it came; else read once while the file
// stays the same.
class ModelHashes {
 public:
  Result<std::vector<std::string>> of(const hub::StoredModel& model);

 private:
  struct Known {
    uint64_t n_bytes = 0;
    int64_t modified_at = 0;
    std::vector<std::string> sha256;
  };
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // by path: as many as there are models in the store
};

}  // namespace maru::app
