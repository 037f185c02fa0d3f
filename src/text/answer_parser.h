// text/answer_parser.h - takes an answer apart as it comes: its text, its reasoning, its tool
// calls.
//
// serve/openai/generation.cc has one for each choice. However the text is split on the way, the
// parts joined are the same. What turns out not to be a call is text: nothing is lost.
// Threads: one owner.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_format.h"

namespace maru::text {

struct AnswerPart {
  enum Kind {
    kContent,
    kReasoning,
    kCall,       // a call begins; `text` is the function's name
    kArguments,  // more of the arguments of the call that began last, as JSON text
  };
  Kind kind = kContent;
  std::string text = {};
  bool operator==(const AnswerPart&) const = default;
};
using AnswerParts = std::vector<AnswerPart>;

class AnswerParser {
 public:
  struct Options {
    bool in_reasoning = false;  // the prompt ends within reasoning that is still open
    std::vector<std::string> names =
        {};                  // functions that may be called; of any other a call is text
    bool canonical = false;  // CallFormat::also is text too
  };
  AnswerParser(const AnswerFormat& format, Options options);

  // Adds what is certain so far.
  void feed(std::string_view text, AnswerParts& out);
  // Adds the rest, once.
  void finish(AnswerParts& out);

  bool in_reasoning() const { return state_ == State::kReasoning; }

 private:
  enum class State { kStart, kReasoning, kContentBegin, kContent, kName, kArguments, kAfter };

  bool advance(AnswerParts& out);  // false where more text is needed
  bool start();
  bool reason(AnswerParts& out);
  bool content_begin();
  bool content(AnswerParts& out);
  bool name(AnswerParts& out);
  bool arguments(AnswerParts& out);
  bool after();
  void emit(AnswerPart::Kind kind, std::string_view text, AnswerParts& out) const;
  void emit_content(std::string_view text, AnswerParts& out);
  void emit_reasoning(std::string_view text, AnswerParts& out);

  struct Opener {
    std::string text;
    const CallFormat* format;
  };
  void add_openers(const CallFormat& format);
  bool is_name(std::string_view name) const;

  AnswerFormat format_;
  Options options_;
  std::vector<Opener> openers_;  // texts with which calls begin, the longest of a format first
  const CallFormat* calls_ = nullptr;  // of the call that began last
  State state_ = State::kStart;
  std::string held_;    // not decided yet
  std::string opened_;  // what the call began with, in case that it is none
  std::string space_;   // white space that may be nothing's end
  bool has_content_ = false;
  bool has_reasoning_ = false;  // of the part that is open
  bool after_reasoning_ = false;
  size_t n_calls_ = 0;
  size_t depth_ = 0;  // within the arguments
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace maru::text
