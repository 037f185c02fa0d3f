// text/answer_format.h - how a family of models writes tool calls and reasoning into its answer.
//
// A call format is a row of literal texts around names and JSON arguments, so that one parser
// (answer_parser.h) and one builder of grammars (link/answer_grammar.h) serve all families.
// chat_shape.h finds out which row a model's template writes; the card names it to the gateway.
// Threads: constant tables.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace maru::text {

// begin (before_name NAME [id_mark ID] after_name ARGUMENTS after_arguments), again behind
// `between`, end.
struct CallFormat {
  std::string_view name = {};
  std::string_view mark = {};  // how calls begin and other text does not
  std::string_view begin = {};
  std::string_view before_name = {};
  std::string_view after_name = {};
  std::string_view after_arguments = {};
  std::string_view between = {};
  std::string_view end = {};
  std::string_view id_mark = {};      // where an id of kCallIdBytes letters and digits follows
  std::string_view maybe_first = {};  // may stand before `begin`
  bool at_start_only = false;         // calls are the whole answer; elsewhere this is text
  bool parallel = true;               // an answer can have several
  // What models of the family write as well where nothing forces them: a single call that is the
  // whole answer.
  std::span<const CallFormat> also = {};
};

struct ReasoningFormat {
  std::string_view name = {};
  std::string_view open = {};
  std::string_view close = {};
  std::string_view close_mark = {};     // how `close` begins and reasoning does not go on
  std::string_view content_begin = {};  // what stands before the answer's text
  bool always_held = false;  // the answer is held to this form even where nothing else is asked for
};

// Null where the model has none.
struct AnswerFormat {
  const CallFormat* calls = nullptr;
  const ReasoningFormat* reasoning = nullptr;
};

// Every row, the more particular ones first.
std::span<const CallFormat> call_formats();
std::span<const ReasoningFormat> reasoning_formats();

// For models whose template has no tools, or writes calls in a way that is not known.
const CallFormat& generic_call_format();

// Null for a name that is not in the table.
const CallFormat* find_call_format(std::string_view name);
const ReasoningFormat* find_reasoning_format(std::string_view name);

// Whether the text of a token is part of what the format writes: such control tokens are text of
// the answer.
bool is_part_of(const AnswerFormat& format, std::string_view token);

inline constexpr size_t kCallIdBytes = 9;
inline constexpr size_t kFunctionNameBytesMax = 64;
// Whether this may be the name of a function: 1 to 64 of a-z A-Z 0-9 _ -.
bool is_function_name(std::string_view name);

}  // namespace maru::text
