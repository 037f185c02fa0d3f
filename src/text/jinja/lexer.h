// text/jinja/lexer.h - template source to tokens, with Jinja's white-space rules applied.
//
// parse() calls it once per template. trim_blocks and lstrip_blocks are on, one newline at the very
// end is dropped, `raw` blocks and comments are resolved here.
// Source: Jinja 3.1 documentation, "Whitespace Control", "Comments", "Escaping".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/runtime.h"

namespace maru::text::jinja {

enum class TokenKind : uint8_t {
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInt,
  kFloat,
  kOperator,
  kEnd,
};

// A token takes about 80 times the memory of its shortest text.
inline constexpr size_t kTemplateTokensMax = 100'000;

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Pos pos;
  std::string text;  // of names, operators, text; strings with their escapes resolved
  int64_t integer = 0;
  double real = 0;

  bool is(TokenKind k) const { return kind == k; }
  bool is_op(std::string_view op) const { return kind == TokenKind::kOperator && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
};

// How a message names a token: what was written, or what it stands for.
std::string_view describe(const Token& token);

// "chat template, line 3, column 7: message"
Error syntax_error(Pos pos, std::string_view message);

// The last token is kEnd. Errors: kInvalidArgument with line and column.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace maru::text::jinja
