// text/chat_shape.h - what a chat template can do with tools and reasoning, found out by rendering
// with it, and conversations brought into the shape that it wants.
//
// link/load.cc makes one for each model; link/engine_host.cc asks it before every rendering. The
// family of a model is what its template writes for a call, never its name.
// Threads: immutable after find().
#pragma once
#include <functional>
#include <string_view>

#include "base/json.h"
#include "text/answer_format.h"
#include "text/chat_template.h"

namespace maru::text {

// Where a prompt ends with respect to reasoning.
enum class ReasoningState { kNone, kOpen, kClosed };

class ChatShape {
 public:
  // Renders a few made-up conversations. tokens: as RenderInputs has them; has_token: whether the
  // vocabulary has a token of this text; source: the template's own.
  static ChatShape find(const ChatTemplate& chat_template, std::string_view source,
                        const Json& tokens, const std::function<bool(std::string_view)>& has_token);

  const AnswerFormat& format() const { return format_; }
  // Whether one message can have several calls.
  bool parallel() const { return parallel_; }
  // Whether the template itself tells the model of the tools.
  bool has_tools() const { return has_tools_; }

  // Changes a conversation of the Chat Completions API into what the template reads. Where the
  // template knows no tools, they become text: a description in the system message, calls and
  // results in the form of the generic format; tools is null afterwards.
  void prepare(Json& messages, Json& tools) const;

  // Where a rendered prompt leaves the answer. Looks at the template's own text behind the last
  // data, or with data too where a message is continued.
  ReasoningState reasoning_state(const Spans& prompt, bool is_continued) const;

 private:
  struct Prober;
  void prepare_native(Json& messages) const;
  void prepare_generic(Json& messages, Json& tools) const;

  AnswerFormat format_;
  bool has_tools_ = false;
  bool parallel_ = true;
  bool arguments_as_text_ = false;  // else as an object
  bool short_ids_ = false;          // of exactly 9 letters and digits
  bool null_content_ = true;        // beside calls
  bool has_system_ = true;
};

}  // namespace maru::text
