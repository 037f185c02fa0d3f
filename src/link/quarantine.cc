#include "link/quarantine.h"

#include <algorithm>
#include <atomic>
#include <functional>

namespace maru::link {
namespace {

constexpr RequestId kRefusedId = 0;  // ids of clients begin above it

uint64_t hash_of(const std::string& text) { return std::hash<std::string>()(text); }

class QuarantinedClient final : public Client {
 public:
  QuarantinedClient(std::unique_ptr<Client> inner, std::shared_ptr<Quarantine> quarantine)
      : inner_(std::move(inner)), quarantine_(std::move(quarantine)) {}

  ~QuarantinedClient() override {
    *closing_ = true;  // what ends now was shut down and did not crash
    inner_.reset();
  }

  RequestId generate(GenerateRequest request, GenerateSink sink) override {
    const auto prompt = Quarantine::fingerprint(request.prompt);
    if (quarantine_->is_poison(prompt)) {
      quarantine_->refuse(
          [sink = std::move(sink)](Error error) { sink(Failed{std::move(error)}); });
      return kRefusedId;
    }
    return inner_->generate(
        std::move(request), [quarantine = quarantine_, closing = closing_, inner = inner_.get(),
                             prompt, sink = std::move(sink)](GenerateEvent event) {
          if (std::holds_alternative<Done>(event)) quarantine->answered(prompt);
          const bool died = std::holds_alternative<Failed>(event) && !*closing && !inner->alive();
          if (died) quarantine->crashed(prompt);
          sink(std::move(event));
        });
  }

  RequestId start_embed(EmbedRequest request, EmbedSink sink) override {
    const auto prompt = Quarantine::fingerprint(request.prompt);
    if (quarantine_->is_poison(prompt)) {
      quarantine_->refuse([sink = std::move(sink)](Error error) { sink(std::move(error)); });
      return kRefusedId;
    }
    return inner_->start_embed(std::move(request),
                               [quarantine = quarantine_, closing = closing_, inner = inner_.get(),
                                prompt, sink = std::move(sink)](Result<EmbedResult> result) {
                                 if (result.ok()) quarantine->answered(prompt);
                                 if (!result.ok() && !*closing && !inner->alive())
                                   quarantine->crashed(prompt);
                                 sink(std::move(result));
                               });
  }

  void cancel(RequestId id) override { inner_->cancel(id); }
  Result<ScoreResult> score(const ScoreRequest& request) override { return inner_->score(request); }
  std::vector<Result<EmbedResult>> embed_all(std::vector<EmbedRequest> requests) override {
    return inner_->embed_all(std::move(requests));
  }
  Result<std::vector<TokenId>> tokenize(const TokenizeRequest& request) override {
    return inner_->tokenize(request);
  }
  Result<std::string> detokenize(const std::vector<TokenId>& ids) override {
    return inner_->detokenize(ids);
  }
  Result<std::string> render(const RenderRequest& request) override {
    return inner_->render(request);
  }
  Result<EngineStats> stats() override { return inner_->stats(); }
  const ModelCard& card() const override { return inner_->card(); }
  bool alive() const override { return inner_->alive(); }
  void close() override {
    *closing_ = true;
    inner_->close();
  }

 private:
  std::unique_ptr<Client> inner_;
  const std::shared_ptr<Quarantine> quarantine_;
  const std::shared_ptr<std::atomic<bool>> closing_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

Quarantine::Quarantine() : thread_([this] { run(); }) {}

Quarantine::~Quarantine() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

Quarantine::Fingerprint Quarantine::fingerprint(const Prompt& prompt) {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return hash_of(text->text);
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    return hash_of(dump_json(Json::array({chat->messages, chat->tools, chat->template_kwargs})));
  }
  std::string ids;
  for (const TokenId id : std::get<TokensPrompt>(prompt).ids) ids += std::to_string(id) + ",";
  return hash_of(ids);
}

bool Quarantine::is_poison(Fingerprint prompt) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(suspects_, [&](const auto& suspect) {
    return suspect.first == prompt && suspect.second >= kPoisonCrashes;
  });
}

void Quarantine::crashed(Fingerprint prompt) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(suspects_, prompt, &std::pair<Fingerprint, size_t>::first);
  if (found != suspects_.end()) {
    ++found->second;
    return;
  }
  suspects_.emplace_back(prompt, 1);
  if (suspects_.size() > kSuspectsMax) suspects_.pop_front();
}

void Quarantine::answered(Fingerprint prompt) {
  const std::lock_guard lock(mutex_);
  std::erase_if(suspects_, [&](const auto& suspect) { return suspect.first == prompt; });
}

void Quarantine::refuse(std::function<void(Error)> sink) {
  {
    const std::lock_guard lock(mutex_);
    refused_.push_back(std::move(sink));
  }
  changed_.notify_one();
}

void Quarantine::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || !refused_.empty(); });
    if (refused_.empty()) return;
    const auto sink = std::move(refused_.front());
    refused_.pop_front();
    lock.unlock();
    sink(Error::internal(
        "the engine died twice while it worked on this prompt, so it is not tried again"));
    lock.lock();
  }
}

std::shared_ptr<Client> quarantined(std::unique_ptr<Client> inner,
                                    std::shared_ptr<Quarantine> quarantine) {
  return std::make_shared<QuarantinedClient>(std::move(inner), std::move(quarantine));
}

}  // namespace maru::link
