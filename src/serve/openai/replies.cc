// serve/openai/replies.cc - see replies.h.
#include "serve/openai/replies.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "serve/json_text.h"

namespace maru::serve::openai {
namespace {

using link::Candidate;
using link::FinishReason;
using link::TokenLogprob;

std::string_view finish_text(const Choice& choice) {
  if (choice.finish == FinishReason::kLength) return "\"length\"";
  return choice.calls.empty() ? "\"stop\"" : "\"tool_calls\"";
}

void append_count(std::string& out, std::string_view key, size_t count) {
  out += key;
  out += std::to_string(count);
}

void append_number(std::string& out, std::string_view key, double value) {
  out += key;
  append_json_number(out, value);
}

// {"id":...,"object":...,"created":...,"model":... without the closing brace.
void append_head(std::string& out, const ReplyHead& head, std::string_view object) {
  out += "{\"id\":";
  append_json_string(out, head.id);
  out += ",\"object\":";
  append_json_string(out, object);
  out += ",\"created\":" + std::to_string(head.created) + ",\"model\":";
  append_json_string(out, head.model);
  out += ",\"system_fingerprint\":";
  append_json_string(out, head.fingerprint);
}

void append_seed(std::string& out, const ReplyHead& head) {
  out += ",\"seed\":" + std::to_string(head.seed);
}

void append_receipt(std::string& out, const std::string& receipt) {
  if (!receipt.empty()) out += ",\"receipt\":" + receipt;
}

void append_candidate(std::string& out, const Candidate& candidate) {
  out += "{\"token\":";
  append_json_string(out, candidate.bytes);
  append_number(out, ",\"logprob\":", candidate.logprob);
  out += ",\"bytes\":[";
  for (size_t i = 0; i < candidate.bytes.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<unsigned char>(candidate.bytes[i]));
  }
  out += ']';
}

void append_chat_logprobs(std::string& out, std::span<const TokenLogprob> logprobs) {
  out += "{\"content\":[";
  for (size_t i = 0; i < logprobs.size(); ++i) {
    if (i > 0) out += ',';
    append_candidate(out, logprobs[i].chosen);
    out += ",\"top_logprobs\":[";
    for (size_t j = 0; j < logprobs[i].top.size(); ++j) {
      if (j > 0) out += ',';
      append_candidate(out, logprobs[i].top[j]);
      out += '}';
    }
    out += "]}";
  }
  out += "],\"refusal\":null}";
}

void append_completion_logprobs(std::string& out, std::span<const TokenLogprob> logprobs,
                                size_t n_offset) {
  std::string tokens = "{\"tokens\":[";
  std::string values = "],\"token_logprobs\":[";
  std::string tops = "],\"top_logprobs\":[";
  std::string offsets = "],\"text_offset\":[";
  for (size_t i = 0; i < logprobs.size(); ++i) {
    if (i > 0) {
      for (std::string* list : {&tokens, &values, &tops, &offsets}) *list += ',';
    }
    append_json_string(tokens, logprobs[i].chosen.bytes);
    append_json_number(values, logprobs[i].chosen.logprob);
    offsets += std::to_string(n_offset);
    n_offset += count_characters(logprobs[i].chosen.bytes);
    tops += '{';
    for (size_t j = 0; j < logprobs[i].top.size(); ++j) {
      if (j > 0) tops += ',';
      append_json_string(tops, logprobs[i].top[j].bytes);
      append_number(tops, ":", logprobs[i].top[j].logprob);
    }
    tops += '}';
  }
  out += tokens + values + tops + offsets + "]}";
}

void append_logprobs(std::string& out, Endpoint endpoint, std::span<const TokenLogprob> logprobs,
                     size_t n_offset) {
  if (endpoint == kChatEndpoint) {
    append_chat_logprobs(out, logprobs);
  } else {
    append_completion_logprobs(out, logprobs, n_offset);
  }
}

void append_usage(std::string& out, const Totals& totals, Endpoint endpoint) {
  append_count(out, ",\"usage\":{\"prompt_tokens\":", totals.n_prompt);
  append_count(out, ",\"completion_tokens\":", totals.n_generated);
  append_count(out, ",\"total_tokens\":", totals.n_prompt + totals.n_generated);
  append_count(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", totals.n_cached);
  append_count(out, "},\"completion_tokens_details\":{\"accepted_prediction_tokens\":",
               totals.n_predicted_right);
  append_count(out, ",\"rejected_prediction_tokens\":", totals.n_predicted_wrong);
  if (endpoint == kChatEndpoint) append_count(out, ",\"reasoning_tokens\":", totals.n_reasoning);
  out += "}}";
}

void append_timings(std::string& out, const Totals& totals) {
  // As llama-server counts: prompt_ms went into what the cache did not have.
  append_count(out, ",\"timings\":{\"cache_n\":", totals.n_cached);
  append_count(out, ",\"prompt_n\":", totals.n_prompt - totals.n_cached);
  append_number(out, ",\"prompt_ms\":", totals.prompt_seconds * 1e3);
  append_count(out, ",\"predicted_n\":", totals.n_generated);
  append_number(out, ",\"predicted_ms\":", totals.generate_seconds * 1e3);
  append_number(out, ",\"predicted_per_second\":", totals.tokens_per_second);
  out += '}';
}

// arguments as they are so far.
void append_call(std::string& out, std::optional<size_t> index, const ToolCall& call) {
  out += '{';
  if (index) {
    append_count(out, "\"index\":", *index);
    out += ',';
  }
  out += "\"id\":";
  append_json_string(out, call.id);
  out += ",\"type\":\"function\",\"function\":{\"name\":";
  append_json_string(out, call.name);
  out += ",\"arguments\":";
  append_json_string(out, call.arguments);
  out += "}}";
}

void append_message(std::string& out, const Choice& choice) {
  out += ",\"message\":{\"role\":\"assistant\",\"content\":";
  if (choice.text.empty() && !choice.calls.empty()) {
    out += "null";
  } else {
    append_json_string(out, choice.text);
  }
  out += ",\"refusal\":null";
  if (!choice.reasoning.empty()) {
    out += ",\"reasoning_content\":";
    append_json_string(out, choice.reasoning);
  }
  if (!choice.calls.empty()) {
    out += ",\"tool_calls\":[";
    for (size_t i = 0; i < choice.calls.size(); ++i) {
      if (i > 0) out += ',';
      append_call(out, {}, choice.calls[i]);
    }
    out += ']';
  }
  out += '}';
}

// data: {head,"choices":[{"index":i, and then the caller's own fields.
std::string begin_chunk(const ReplyHead& head, size_t index) {
  const bool is_chat = head.endpoint == kChatEndpoint;
  std::string out = "data: ";
  append_head(out, head, is_chat ? "chat.completion.chunk" : "text_completion");
  append_count(out, ",\"choices\":[{\"index\":", index);
  return out;
}

}  // namespace

void append_ignored(std::string& out, std::span<const std::string> ignored) {
  if (ignored.empty()) return;
  out += ",\"ignored_params\":[";
  for (size_t i = 0; i < ignored.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, ignored[i]);
  }
  out += ']';
}

size_t count_characters(std::string_view utf8) {
  // Bytes of the form 10xxxxxx continue a character.
  return static_cast<size_t>(
      std::ranges::count_if(utf8, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

Totals add_up(std::span<const Choice> choices, size_t n) {
  Totals totals;
  for (size_t i = 0; i < choices.size(); ++i) {
    const link::Usage& usage = choices[i].usage;
    if (i % n == 0) {
      totals.n_prompt += usage.n_prompt;
      totals.n_cached += usage.n_cached;
    }
    totals.n_generated += usage.n_generated;
    totals.n_predicted_right += usage.n_predicted_right;
    totals.n_predicted_wrong += usage.n_predicted_wrong;
    totals.n_reasoning += choices[i].n_reasoning;
    totals.prompt_seconds = std::max(totals.prompt_seconds, usage.prompt_seconds);
    totals.generate_seconds = std::max(totals.generate_seconds, usage.generate_seconds);
    // The first token comes from the prompt; the seconds count from it.
    if (usage.n_generated > 1 && usage.generate_seconds > 0) {
      totals.tokens_per_second +=
          static_cast<double>(usage.n_generated - 1) / usage.generate_seconds;
    }
  }
  return totals;
}

std::string role_event(const ReplyHead& head, size_t index, bool opens,
                       std::span<const std::string> ignored) {
  std::string out = begin_chunk(head, index);
  if (head.endpoint == kChatEndpoint) {
    out += ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"}";
  } else {
    out += ",\"text\":\"\"";
  }
  out += ",\"logprobs\":null,\"finish_reason\":null}]";
  if (opens) {
    append_seed(out, head);
    append_ignored(out, ignored);
  }
  out += "}\n\n";
  return out;
}

std::string progress_event(const ReplyHead& head, size_t index, const link::Progress& progress) {
  std::string out = begin_chunk(head, index);
  out += head.endpoint == kChatEndpoint ? ",\"delta\":{}" : ",\"text\":\"\"";
  out += ",\"logprobs\":null,\"finish_reason\":null}]";
  append_count(out, ",\"prompt_progress\":{\"total\":", progress.n_prompt);
  append_count(out, ",\"cache\":", progress.n_cached);
  append_count(out, ",\"processed\":", progress.n_evaluated);
  append_number(out, ",\"time_ms\":", progress.seconds * 1e3);
  out += "}}\n\n";
  return out;
}

std::string part_event(const ReplyHead& head, size_t index, const Choice& choice,
                       const text::AnswerPart& part, std::span<const TokenLogprob> logprobs) {
  const bool is_chat = head.endpoint == kChatEndpoint;
  std::string out = begin_chunk(head, index);
  if (is_chat) out += ",\"delta\":{";
  switch (part.kind) {
    case text::AnswerPart::kContent:
      out += is_chat ? "\"content\":" : ",\"text\":";
      append_json_string(out, part.text);
      break;
    case text::AnswerPart::kReasoning:
      out += "\"reasoning_content\":";
      append_json_string(out, part.text);
      break;
    case text::AnswerPart::kCall:
      out += "\"tool_calls\":[";
      append_call(out, choice.calls.size() - 1, choice.calls.back());
      out += ']';
      break;
    case text::AnswerPart::kArguments:
      append_count(out, "\"tool_calls\":[{\"index\":", choice.calls.size() - 1);
      out += ",\"function\":{\"arguments\":";
      append_json_string(out, part.text);
      out += "}}]";
      break;
  }
  if (is_chat) out += '}';
  out += ",\"logprobs\":";
  if (logprobs.empty()) {
    out += "null";
  } else {
    append_logprobs(out, head.endpoint, logprobs, choice.n_offset);
  }
  out += ",\"finish_reason\":null}]}\n\n";
  return out;
}

std::string finish_event(const ReplyHead& head, size_t index, const Choice& choice,
                         const Closing* closing) {
  std::string out = begin_chunk(head, index);
  out += head.endpoint == kChatEndpoint ? ",\"delta\":{}" : ",\"text\":\"\"";
  out += ",\"logprobs\":null,\"finish_reason\":";
  out += finish_text(choice);
  out += "}]";
  if (closing != nullptr) {
    append_timings(out, closing->totals);
    append_receipt(out, closing->receipt);
  }
  out += "}\n\n";
  return out;
}

std::string usage_event(const ReplyHead& head, const Totals& totals) {
  const bool is_chat = head.endpoint == kChatEndpoint;
  std::string out = "data: ";
  append_head(out, head, is_chat ? "chat.completion.chunk" : "text_completion");
  out += ",\"choices\":[]";
  append_usage(out, totals, head.endpoint);
  append_timings(out, totals);
  out += "}\n\n";
  return out;
}

std::string error_event(const Error& error, std::string_view wire_code) {
  return "data: " + error_body(error, wire_code) + "\n\n";
}

std::string choices_text(const ReplyHead& head, std::span<const Choice> choices,
                         bool with_logprobs) {
  const bool is_chat = head.endpoint == kChatEndpoint;
  std::string out = "[";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    append_count(out, "{\"index\":", i);
    if (is_chat) {
      append_message(out, choices[i]);
    } else {
      out += ",\"text\":";
      append_json_string(out, choices[i].text);
    }
    out += ",\"logprobs\":";
    if (with_logprobs) {
      append_logprobs(out, head.endpoint, choices[i].logprobs, 0);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":";
    out += finish_text(choices[i]);
    out += '}';
  }
  out += ']';
  return out;
}

std::string whole_reply(const ReplyHead& head, std::string_view choices, const Closing& closing,
                        std::span<const std::string> ignored) {
  std::string out;
  append_head(out, head, head.endpoint == kChatEndpoint ? "chat.completion" : "text_completion");
  append_seed(out, head);
  out += ",\"choices\":";
  out += choices;
  append_usage(out, closing.totals, head.endpoint);
  append_timings(out, closing.totals);
  append_receipt(out, closing.receipt);
  append_ignored(out, ignored);
  out += '}';
  return out;
}

WireError to_wire_error(Error error, Endpoint endpoint) {
  const std::string prompt_field = endpoint == kChatEndpoint ? "messages" : "prompt";
  if (error.param == link::kContextLengthExceeded) {
    error.param = prompt_field;
    return {std::move(error), link::kContextLengthExceeded};
  }
  // The engine speaks of its own fields: "sampling.top_p" is the API's "top_p".
  constexpr std::string_view kSampling = "sampling.";
  if (error.param.starts_with(kSampling)) error.param.erase(0, kSampling.size());
  if (error.param == "prompt") error.param = prompt_field;
  return {std::move(error), {}};
}

}  // namespace maru::serve::openai
