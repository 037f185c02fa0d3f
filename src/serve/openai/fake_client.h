// serve/openai/fake_client.h - a Client whose events a test gives by hand, to reach every order of
// events; whole servers are tested on the scripted engine.
//
// Included by tests only. Threads: any.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "link/client.h"

namespace maru::serve::openai {

class FakeClient final : public link::Client {
 public:
  link::RequestId generate(link::GenerateRequest request, link::GenerateSink sink) override {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    sinks_.push_back(std::move(sink));
    changed_.notify_all();
    return requests_.size();
  }
  link::RequestId start_embed(link::EmbedRequest request, link::EmbedSink sink) override {
    const std::lock_guard lock(mutex_);
    embeds_.push_back(std::move(request));
    embed_sinks_.push_back(std::move(sink));
    changed_.notify_all();
    return embeds_.size();
  }
  void cancel(link::RequestId id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
    changed_.notify_all();
  }
  Result<link::ScoreResult> score(const link::ScoreRequest&) override { return unused(); }
  std::vector<Result<link::EmbedResult>> embed_all(
      std::vector<link::EmbedRequest> requests) override {
    return std::vector<Result<link::EmbedResult>>(requests.size(), unused());
  }
  Result<std::vector<link::TokenId>> tokenize(const link::TokenizeRequest&) override {
    return unused();
  }
  Result<std::string> detokenize(const std::vector<link::TokenId>& ids) override {
    std::string text;
    for (const link::TokenId id : ids) text += "<" + std::to_string(id) + ">";
    return text;
  }
  Result<std::string> render(const link::RenderRequest&) override { return unused(); }
  Result<link::EngineStats> stats() override { return link::EngineStats{}; }
  const link::ModelCard& card() const override { return card_; }

  // Waits until request number i (from 0) was made.
  link::GenerateRequest request(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() > i; });
    return requests_[i];
  }
  void emit(size_t i, link::GenerateEvent event) {
    request(i);
    link::GenerateSink sink;
    {
      const std::lock_guard lock(mutex_);
      sink = sinks_[i];
    }
    sink(std::move(event));
  }
  // The same of embeddings.
  link::EmbedRequest embed_request(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return embeds_.size() > i; });
    return embeds_[i];
  }
  void answer_embed(size_t i, Result<link::EmbedResult> result) {
    embed_request(i);
    link::EmbedSink sink;
    {
      const std::lock_guard lock(mutex_);
      sink = std::move(embed_sinks_[i]);
    }
    sink(std::move(result));
  }
  // Waits until n requests were cancelled; their ids (numbers from 1), sorted.
  std::vector<link::RequestId> wait_for_cancelled(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_.size() >= n; });
    std::vector<link::RequestId> ids = cancelled_;
    std::ranges::sort(ids);
    return ids;
  }
  void drop_sinks() {
    const std::lock_guard lock(mutex_);
    for (link::GenerateSink& sink : sinks_) sink = nullptr;
    for (link::EmbedSink& sink : embed_sinks_) sink = nullptr;
  }

  link::ModelCard card_;

 private:
  static Error unused() { return Error::internal("not used by serve/"); }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<link::GenerateRequest> requests_;
  std::vector<link::GenerateSink> sinks_;
  std::vector<link::EmbedRequest> embeds_;
  std::vector<link::EmbedSink> embed_sinks_;
  std::vector<link::RequestId> cancelled_;
};

}  // namespace maru::serve::openai
