// serve/openai/test_services.h - Services of engines that a test has at hand.
//
// Included by tests only.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/services.h"

namespace maru::serve::openai {

using ClientResult = Result<std::shared_ptr<link::Client>>;

// Services::engine, where no engine has to be loaded.
inline auto by_id(std::function<ClientResult(const std::string&)> find) {
  return [find = std::move(find)](const std::string& id, const link::EngineWaiter& waiter) {
    waiter.on_ready(find(id));
  };
}

// Services::engines, all of them ready.
inline auto ready_engines(
    std::function<std::vector<std::pair<std::string, std::shared_ptr<link::Client>>>()> running) {
  return [running = std::move(running)] {
    std::vector<link::EngineStatus> engines;
    for (auto& [name, client] : running()) {
      link::EngineStatus engine;
      engine.residency.model = name;
      engine.residency.state = link::ModelState::kReady;
      engine.client = std::move(client);
      engines.push_back(std::move(engine));
    }
    return engines;
  };
}

}  // namespace maru::serve::openai
