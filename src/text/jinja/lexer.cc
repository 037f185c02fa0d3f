#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/utf8.h"

namespace maru::text::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators{
    // Longer ones first.
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::string with_unix_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_unix_newlines(source)) {}

  Result<std::vector<Token>> run() {
    while (!error_ && at_ < source_.size()) lex_text();
    if (error_) return std::move(*error_);
    emit(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view what) const { return rest().starts_with(what); }

  // Moves on by n bytes, counting lines and columns.
  void advance(size_t n) {
    for (const size_t end = at_ + n; at_ < end; ++at_) {
      if (source_[at_] == '\n') {
        ++pos_.line;
        pos_.column = 1;
      } else if ((static_cast<unsigned char>(source_[at_]) & 0xC0) != 0x80) {
        ++pos_.column;
      }
    }
  }

  void fail(std::string_view message) {
    if (!error_) error_ = syntax_error(pos_, message);
  }

  void emit(TokenKind kind, std::string text = {}) {
    if (tokens_.size() == kTemplateTokensMax && !error_) {
      error_ = Error::exhausted(
          fmt::format("the chat template has more than {} tokens", kTemplateTokensMax));
    }
    tokens_.push_back({kind, pos_, std::move(text), 0, 0});
  }

  // Skips white space after "-%}" and the like, or one newline after "%}" (trim_blocks).
  void finish_tag(std::string_view closing, bool trim_newline) {
    const bool strip = closing[0] == '-';
    advance(closing.size());
    size_t n = 0;
    if (strip) {
      n = leading_space(rest());
    } else if (trim_newline && closing[0] != '+' && looking_at("\n")) {
      n = 1;
    }
    advance(n);
    line_starting_ = n > 0 && source_[at_ - 1] == '\n';
  }

  // The part of `text` that stays before a tag with this sign ('-', '+' or 0).
  std::string_view stripped(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return text.substr(0, text.size() - trailing_space(text));
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    if (line == 0 && !line_starting_) return text;
    return leading_space(text.substr(line)) == text.size() - line ? text.substr(0, line) : text;
  }

  void lex_text() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        emit(TokenKind::kText, std::string(rest()));
        advance(source_.size() - at_);
        return;
      }
      const char c = source_[tag + 1];
      if (c == '{' || c == '%' || c == '#') break;
    }
    const char kind = source_[tag + 1];
    const char after = tag + 2 < source_.size() ? source_[tag + 2] : 0;
    const char sign = after == '-' || after == '+' ? after : 0;
    const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const std::string_view kept = stripped(text, sign, kind == '{');
    if (!kept.empty()) emit(TokenKind::kText, std::string(kept));
    advance(tag - at_);
    const size_t n_open = sign != 0 ? 3 : 2;
    line_starting_ = false;
    if (kind == '#') return lex_comment(n_open);
    if (kind == '%' && lex_raw(n_open)) return;
    emit(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    advance(n_open);
    lex_code(kind == '{');
  }

  void lex_comment(size_t n_open) {
    const size_t end = source_.find("#}", at_ + n_open);
    if (end == std::string::npos) return fail("Missing end of comment tag");
    const bool has_sign =
        end > at_ + n_open && (source_[end - 1] == '-' || source_[end - 1] == '+');
    advance(end - at_ - (has_sign ? 1 : 0));
    finish_tag(rest().substr(0, has_sign ? 3 : 2), true);
  }

  // "raw %}" or "raw -%}" at `text`, which follows "{%": the bytes up to and with the word, or 0.
  static size_t word_in_tag(std::string_view text, std::string_view word) {
    const size_t space = leading_space(text);
    if (!text.substr(space).starts_with(word)) return 0;
    const size_t end = space + word.size();
    return end + leading_space(text.substr(end));
  }

  bool lex_raw(size_t n_open) {
    const size_t n = word_in_tag(rest().substr(n_open), "raw");
    const std::string_view tail = n == 0 ? "" : rest().substr(n_open + n);
    if (!tail.starts_with("%}") && !tail.starts_with("-%}")) return false;
    advance(n_open + n);
    finish_tag(tail.substr(0, tail[0] == '-' ? 3 : 2), false);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      const std::string_view from = std::string_view(source_).substr(tag + 2);
      const size_t n_sign = from.starts_with("-") || from.starts_with("+") ? 1 : 0;
      const size_t n_word = word_in_tag(from.substr(n_sign), "endraw");
      if (n_word == 0) continue;
      const std::string_view closing = from.substr(n_sign + n_word);
      const bool signed_end = closing.starts_with("-%}") || closing.starts_with("+%}");
      if (!signed_end && !closing.starts_with("%}")) continue;
      const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
      const std::string_view kept = stripped(text, n_sign != 0 ? from[0] : '\0', false);
      if (!kept.empty()) emit(TokenKind::kText, std::string(kept));
      advance(tag - at_ + 2 + n_sign + n_word);
      finish_tag(closing.substr(0, signed_end ? 3 : 2), true);
      return true;
    }
    fail("Missing end of raw directive");
    return true;
  }

  // Tokens up to the end of a tag.
  void lex_code(bool is_variable) {
    const std::string_view closing = is_variable ? "}}" : "%}";
    std::string open;  // brackets that wait for their end
    while (!error_) {
      advance(leading_space(rest()));
      if (at_ >= source_.size()) {
        return fail(fmt::format("unexpected end of template, expected '{}'", closing));
      }
      if (open.empty()) {
        const bool has_sign = looking_at("-") || (looking_at("+") && !is_variable);
        if (rest().substr(has_sign ? 1 : 0).starts_with(closing)) {
          emit(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd);
          return finish_tag(rest().substr(0, has_sign ? 3 : 2), !is_variable);
        }
      }
      lex_token(open);
    }
  }

  void lex_token(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    if (is_name_start(c)) {
      size_t n = 1;
      while (n < rest().size() && (is_name_start(rest()[n]) || is_digit(rest()[n]))) ++n;
      emit(TokenKind::kName, std::string(rest().substr(0, n)));
      return advance(n);
    }
    for (const std::string_view op : kOperators) {
      if (!looking_at(op)) continue;
      if (op == "(") open += ')';
      if (op == "[") open += ']';
      if (op == "{") open += '}';
      if (op == ")" || op == "]" || op == "}") {
        if (open.empty()) return fail(fmt::format("unexpected '{}'", op));
        if (open.back() != op[0]) {
          return fail(fmt::format("unexpected '{}', expected '{}'", op, open.back()));
        }
        open.pop_back();
      }
      emit(TokenKind::kOperator, std::string(op));
      return advance(op.size());
    }
    fail(fmt::format("unexpected char '{}'", c));
  }

  // Digits with single underscores between them, from `i`; stops before anything else.
  size_t digits_end(size_t i) const {
    const std::string_view text = source_;
    while (i < text.size() && (is_digit(text[i]) ||
                               (text[i] == '_' && i + 1 < text.size() && is_digit(text[i + 1])))) {
      ++i;
    }
    return i;
  }

  void lex_number() {
    const std::string_view text = source_;
    const char base_mark = at_ + 1 < text.size() ? static_cast<char>(text[at_ + 1] | 0x20) : '\0';
    if (text[at_] == '0' && (base_mark == 'x' || base_mark == 'o' || base_mark == 'b')) {
      size_t end = at_ + 2;
      while (end < text.size() && (is_hex(text[end]) || text[end] == '_')) ++end;
      return emit_integer(at_ + 2, end, base_mark == 'x' ? 16 : base_mark == 'o' ? 8 : 2);
    }
    size_t end = digits_end(at_);
    bool is_float = false;
    const bool after_dot = at_ > 0 && text[at_ - 1] == '.';
    if (!after_dot && end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
      is_float = true;
      end = digits_end(end + 1);
    }
    if (!after_dot && end < text.size() && (text[end] | 0x20) == 'e') {
      size_t exponent = end + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      if (exponent < text.size() && is_digit(text[exponent])) {
        is_float = true;
        end = digits_end(exponent);
      }
    }
    if (!is_float) return emit_integer(at_, end, 10);
    std::string digits;
    for (const char c : text.substr(at_, end - at_)) {
      if (c != '_') digits += c;
    }
    emit(TokenKind::kFloat, digits);
    tokens_.back().real = std::strtod(digits.c_str(), nullptr);
    advance(end - at_);
  }

  void emit_integer(size_t begin, size_t end, int base) {
    std::string digits;
    for (const char c : std::string_view(source_).substr(begin, end - begin)) {
      if (c != '_') digits += c;
    }
    int64_t value = 0;
    const auto [ptr, ec] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (ec != std::errc() || ptr != digits.data() + digits.size()) {
      return fail("an integer that does not fit 64 bits");
    }
    emit(TokenKind::kInt, std::move(digits));
    tokens_.back().integer = value;
    advance(end - at_);
  }

  void lex_string(char quote) {
    std::string out;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] != '\\') {
        out += source_[i++];
        continue;
      }
      const size_t n = lex_escape(std::string_view(source_).substr(i), out);
      if (n == 0) return fail("an escape sequence in a string is cut short or unknown");
      i += n;
    }
    if (i >= source_.size()) return fail("a string without an end");
    emit(TokenKind::kString, std::move(out));
    advance(i + 1 - at_);
  }

  // Resolves the escape at the start of `text`; returns its length, 0 for a bad one.
  static size_t lex_escape(std::string_view text, std::string& out) {
    if (text.size() < 2) return 0;
    constexpr std::string_view kFrom = "\\'\"abfnrtv";
    constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    const char c = text[1];
    if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
      out += kTo[i];
      return 2;
    }
    if (c == '\n') return 2;
    if (c >= '0' && c <= '7') {
      size_t n = 1;
      uint32_t code = 0;
      while (n < 4 && n < text.size() && text[n] >= '0' && text[n] <= '7') {
        code = code * 8 + static_cast<uint32_t>(text[n++] - '0');
      }
      append_utf8(out, code);
      return n;
    }
    const size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n_hex == 0) {
      if (c == 'N') return 0;
      out += '\\';
      return 1;
    }
    char32_t code = 0;
    if (!hex_code(text.substr(2), n_hex, code) || code > 0x10FFFF) return 0;
    const size_t n = 2 + n_hex;
    char32_t low = 0;
    if (code >= 0xD800 && code < 0xDC00 && text.substr(n).starts_with("\\u") &&
        hex_code(text.substr(n + 2), 4, low) && low >= 0xDC00 && low < 0xE000) {
      append_utf8(out, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
      return n + 6;
    }
    append_utf8(out, code);
    return n;
  }

  static bool hex_code(std::string_view text, size_t n, char32_t& code) {
    if (text.size() < n) return false;
    uint32_t value = 0;
    const auto [ptr, ec] = std::from_chars(text.data(), text.data() + n, value, 16);
    code = value;
    return ec == std::errc() && ptr == text.data() + n;
  }

  std::string source_;
  size_t at_ = 0;
  Pos pos_{1, 1};
  bool line_starting_ = true;  // the text that follows begins a line
  std::vector<Token> tokens_;
  std::optional<Error> error_;
};

}  // namespace

std::string_view describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kText:
      return "template data / text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kEnd:
      return "end of template";
    default:
      return token.text;
  }
}

Error syntax_error(Pos pos, std::string_view message) {
  return Error::invalid(
      fmt::format("chat template, line {}, column {}: {}", pos.line, pos.column, message));
}

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace maru::text::jinja
