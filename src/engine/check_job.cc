#include "engine/check_job.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/stop_matcher.h"

namespace maru::engine {
namespace {

Result<void> check_ids(const std::vector<TokenId>& ids, size_t n_vocab, const char* param) {
  for (const TokenId id : ids) {
    if (id >= 0 && static_cast<size_t>(id) < n_vocab) continue;
    return Error::invalid(
        fmt::format("{} holds token {}; the model has 0 to {}", param, id, n_vocab - 1), param);
  }
  return {};
}

}  // namespace

Result<void> check_claim(const Claim& claim) {
  if (claim.weight < 1 || claim.weight > kWeightMax) {
    return Error::invalid(fmt::format("weight must be 1 to {}, not {}", kWeightMax, claim.weight),
                          "weight");
  }
  if (claim.user.size() <= kUserBytesMax) return {};
  return Error::invalid(
      fmt::format("user has {} bytes; at most {} are accepted", claim.user.size(), kUserBytesMax),
      "user");
}

Result<void> check_context(size_t n_prompt, std::optional<size_t> max_tokens, size_t n_ctx) {
  if (n_prompt == 0) return Error::invalid("the prompt is empty: it has no tokens", "prompt");
  const size_t n_new = max_tokens.value_or(1);
  if (n_prompt <= n_ctx && n_new <= n_ctx - n_prompt) return {};
  const std::string wanted =
      max_tokens ? fmt::format("{} tokens and max_tokens asks for {} more", n_prompt, *max_tokens)
                 : fmt::format("{} tokens, which leaves no room for an answer", n_prompt);
  return Error::invalid(
      fmt::format("this model's context is {} tokens; the prompt has {}", n_ctx, wanted),
      std::string(kContextLengthExceeded));
}

Result<void> check_job(const GenerateJob& job, size_t n_vocab, size_t n_ctx) {
  MARU_TRY_VOID(check_sampling(job.sampling, n_vocab));
  MARU_TRY_VOID(check_stop(job.stop));
  MARU_TRY_VOID(check_claim(job.claim));
  MARU_TRY_VOID(check_context(job.prompt.size(), job.max_tokens, n_ctx));
  if (job.prediction.size() > n_ctx) {
    return Error::invalid(fmt::format("this model's context is {} tokens; the prediction has {}",
                                      n_ctx, job.prediction.size()),
                          "prediction");
  }
  MARU_TRY_VOID(check_ids(job.prediction, n_vocab, "prediction"));
  return check_ids(job.prompt, n_vocab, "prompt");
}

Result<void> check_job(const ScoreJob& job, size_t n_vocab, size_t n_ctx) {
  if (job.ids.empty()) return Error::invalid("ids is empty", "ids");
  if (job.ids.size() > n_ctx) {
    return Error::invalid(
        fmt::format("this model's context is {} tokens; ids has {}", n_ctx, job.ids.size()),
        std::string(kContextLengthExceeded));
  }
  const size_t n_rows = job.last == 0 ? job.ids.size() : std::min(job.last, job.ids.size());
  if (n_rows * std::min(job.top, n_vocab) > kScorePairsMax) {
    return Error::exhausted(
        fmt::format("{} positions with {} tokens each are more than the {} "
                    "pairs that one score may have",
                    n_rows, std::min(job.top, n_vocab), kScorePairsMax));
  }
  return check_ids(job.ids, n_vocab, "ids");
}

Result<void> check_job(const EmbedJob& job, size_t n_vocab, size_t n_ctx) {
  if (job.ids.empty()) {
    return Error::invalid("there is nothing to embed: the text has no tokens", "prompt");
  }
  if (job.ids.size() > n_ctx) {
    return Error::invalid(
        fmt::format("this model's context is {} tokens; the text has {}", n_ctx, job.ids.size()),
        std::string(kContextLengthExceeded));
  }
  return check_ids(job.ids, n_vocab, "ids");
}

}  // namespace maru::engine
