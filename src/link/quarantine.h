// link/quarantine.h - prompts that were in flight when an engine died, and the client that refuses
// them.
//
// The supervisor wraps each engine's client. Threads: any.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "link/supervisor.h"

namespace maru::link {

class Quarantine {
 public:
  Quarantine();
  ~Quarantine();

  using Fingerprint = uint64_t;
  // Of what the model is given; not of the seed, which differs each time.
  static Fingerprint fingerprint(const Prompt& prompt);

  bool is_poison(Fingerprint prompt) const;
  void crashed(Fingerprint prompt);
  void answered(Fingerprint prompt);

  // Gives a refused request its last event, on a thread of its own as a client would.
  void refuse(std::function<void(Error)> sink);

 private:
  void run();

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::pair<Fingerprint, size_t>> suspects_;  // and their crashes; oldest first
  std::deque<std::function<void(Error)>> refused_;
  bool closing_ = false;
  std::thread thread_;
};

// Refuses poison, and tells the quarantine how the rest ended.
std::shared_ptr<Client> quarantined(std::unique_ptr<Client> inner,
                                    std::shared_ptr<Quarantine> quarantine);

}  // namespace maru::link
