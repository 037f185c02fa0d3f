#include "link/context_length.h"

#include <fmt/format.h>

namespace maru::link {

Result<void> check_context(size_t n_prompt, std::optional<size_t> max_tokens, size_t n_ctx) {
  if (n_prompt == 0) return Error::invalid("the prompt is empty: it has no tokens", "prompt");
  const size_t n_new = max_tokens.value_or(1);
  if (n_prompt <= n_ctx && n_new <= n_ctx - n_prompt) return {};
  const std::string wanted =
      max_tokens ? fmt::format("{} tokens and max_tokens asks for {} more", n_prompt, *max_tokens)
                 : fmt::format("{} tokens and leaves no room for an answer", n_prompt);
  return Error::invalid(
      fmt::format("this model's context is {} tokens; the prompt has {}", n_ctx, wanted),
      std::string(kContextLengthExceeded));
}

Error no_chat_template_error() {
  return Error::invalid(
      "this model has no chat template, so it cannot answer a conversation; "
      "use text completion instead (/v1/completions)",
      "messages");
}

}  // namespace maru::link
