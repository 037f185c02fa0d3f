// text/chat_template.h - renders a conversation with the model's own Jinja template, tracking
// origins.
//
// The engine process calls it; a template comes from the model file only, never from a request.
// Every string value carries, per character range, whether it came from the template's literals or
// from data, through filters, slices, concatenation and string methods.
// Threads: a ChatTemplate is immutable after parse(); render() may run on any thread.
// Source: Jinja 3.1 template designer documentation, as configured by transformers
// (trim_blocks, lstrip_blocks, loop controls, `generation` blocks, tojson without HTML escaping).
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "text/span.h"

namespace maru::text {

struct RenderInputs {
  Json messages = Json::array();
  Json tools = nullptr;  // null where there are none
  bool add_generation_prompt = true;
  Json tokens = Json::object();  // bos_token and so on: literal text, also visible as variables
  Json kwargs = Json::object();  // further variables (data)
  int64_t now_unix_seconds = 0;  // what strftime_now() answers, in UTC
};

// Limits of one render: a template is code from a stranger.
inline constexpr size_t kRenderStepsMax = 1'000'000;
inline constexpr size_t kRenderBytesMax = 4 << 20;
inline constexpr size_t kTemplateDepthMax = 100;
inline constexpr size_t kTemplateBytesMax = 1 << 20;

class ChatTemplate {
 public:
  // Errors: kInvalidArgument with line and column of the first syntax error.
  static Result<ChatTemplate> parse(std::string_view source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Errors: kInvalidArgument where the template raises (raise_exception: its own message), or
  // cannot handle the input; kResourceExhausted when a limit above is reached.
  Result<Spans> render(const RenderInputs& inputs) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace maru::text
