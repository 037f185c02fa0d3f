// serve/openai/handed_over.h - what of one HTTP request the engine has, and how it is given up.
//
// Generation has one for its choices, Vectors for its texts. Threads: any; the engine is never
// called while the lock is held.
#pragma once
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "link/client.h"

namespace maru::serve::openai {

class HandedOver {
 public:
  explicit HandedOver(std::shared_ptr<link::Client> client) : client_(std::move(client)) {}

  // False where all was cancelled: this one is as well, and what comes after it need not begin.
  bool add(link::RequestId id) {
    {
      const std::lock_guard lock(mutex_);
      if (!is_cancelled_) {
        ids_.push_back(id);
        return true;
      }
    }
    client_->cancel(id);
    return false;
  }

  // Cancelling what is done is harmless: the engine ignores unknown ids.
  void cancel_all() {
    std::vector<link::RequestId> ids;
    {
      const std::lock_guard lock(mutex_);
      is_cancelled_ = true;
      ids = std::exchange(ids_, {});
    }
    for (const link::RequestId id : ids) client_->cancel(id);
  }

 private:
  const std::shared_ptr<link::Client> client_;
  std::mutex mutex_;
  std::vector<link::RequestId> ids_;
  bool is_cancelled_ = false;
};

}  // namespace maru::serve::openai
