// text/span.h - text that remembers where it came from: control tokens are recognised in literal
// spans only.
//
// The chat-template engine produces spans; the tokenizer consumes them. What a user, a document or
// a tool wrote is always kData: `<|im_end|>` typed by a person is thirteen characters and never a
// token.
#pragma once
#include <string>
#include <vector>

namespace maru::text {

enum class Origin : bool {
  kLiteral,  // the template's own text (or a prompt whose author asked for control tokens)
  kData,     // everything else
};

struct Span {
  std::string text;
  Origin origin;
  bool operator==(const Span&) const = default;
};

using Spans = std::vector<Span>;

}  // namespace maru::text
