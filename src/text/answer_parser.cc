#include "text/answer_parser.h"

#include <algorithm>
#include <utility>

namespace maru::text {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// How much of the end of `text` may be the beginning of `mark`.
size_t overlap(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.ends_with(mark.substr(0, n))) return n;
  }
  return 0;
}

enum class Begins { kNo, kMaybe, kYes };

Begins begins(std::string_view text, std::string_view mark) {
  if (text.size() >= mark.size()) return text.starts_with(mark) ? Begins::kYes : Begins::kNo;
  return mark.starts_with(text) ? Begins::kMaybe : Begins::kNo;
}

// A name, and an id where there must be one; while it grows, what may become that.
bool is_head(std::string_view head, std::string_view id_mark, bool complete) {
  const size_t at = id_mark.empty() ? std::string_view::npos : head.find(id_mark);
  if (at == std::string_view::npos) {
    if (complete) return id_mark.empty() && is_function_name(head);
    if (!id_mark.empty()) head.remove_suffix(overlap(head, id_mark));
    return head.empty() || is_function_name(head);
  }
  const std::string_view id = head.substr(at + id_mark.size());
  const bool is_id = id.empty() || (is_function_name(id) && id.find_first_of("_-") == id.npos);
  return is_function_name(head.substr(0, at)) && is_id &&
         (complete ? id.size() == kCallIdBytes : id.size() <= kCallIdBytes);
}

}  // namespace

AnswerParser::AnswerParser(const AnswerFormat& format, Options options)
    : format_(format), options_(std::move(options)) {
  if (format.calls != nullptr && !options_.names.empty()) {
    add_openers(*format.calls);
    if (!options_.canonical) {
      for (const CallFormat& other : format.calls->also) add_openers(other);
    }
  }
  if (options_.in_reasoning && format.reasoning != nullptr) state_ = State::kReasoning;
}

void AnswerParser::add_openers(const CallFormat& format) {
  const std::string plain = std::string(format.begin) + std::string(format.before_name);
  if (!format.maybe_first.empty()) {
    openers_.push_back({std::string(format.maybe_first) + plain, &format});
  }
  openers_.push_back({plain, &format});
}

bool AnswerParser::is_name(std::string_view name) const {
  return std::ranges::find(options_.names, name) != options_.names.end();
}

void AnswerParser::emit(AnswerPart::Kind kind, std::string_view text, AnswerParts& out) const {
  if (text.empty() && kind != AnswerPart::kCall) return;
  const bool goes_on = !out.empty() && out.back().kind == kind && kind != AnswerPart::kCall;
  if (goes_on) {
    out.back().text += text;
  } else {
    out.push_back({kind, std::string(text)});
  }
}

// White space before a call, after reasoning or behind the last call belongs to nothing.
void AnswerParser::emit_content(std::string_view text, AnswerParts& out) {
  if (text.empty()) return;
  const bool drops_space = !has_content_ && after_reasoning_;
  if (drops_space && space_.empty()) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
    if (text.empty()) return;
  }
  const bool holds_space = !openers_.empty();
  const size_t end = holds_space ? text.find_last_not_of(kSpace) : text.size() - 1;
  if (end == std::string_view::npos) {
    space_ += text;
    return;
  }
  emit(AnswerPart::kContent, space_, out);
  space_.clear();
  emit(AnswerPart::kContent, text.substr(0, end + 1), out);
  space_ = text.substr(end + 1);
  has_content_ = true;
}

void AnswerParser::emit_reasoning(std::string_view text, AnswerParts& out) {
  if (!has_reasoning_) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  if (text.empty()) return;
  has_reasoning_ = true;
  const size_t end = text.find_last_not_of(kSpace);
  if (end == std::string_view::npos) {
    space_ += text;
    return;
  }
  emit(AnswerPart::kReasoning, space_, out);
  emit(AnswerPart::kReasoning, text.substr(0, end + 1), out);
  space_ = text.substr(end + 1);
}

bool AnswerParser::start() {
  if (format_.reasoning == nullptr) {
    state_ = State::kContent;
    return true;
  }
  const size_t n_space = std::min(held_.find_first_not_of(kSpace), held_.size());
  const std::string_view rest = std::string_view(held_).substr(n_space);
  switch (begins(rest, format_.reasoning->open)) {
    case Begins::kMaybe:
      return false;
    case Begins::kYes:
      held_.erase(0, n_space + format_.reasoning->open.size());
      has_reasoning_ = false;
      state_ = State::kReasoning;
      return true;
    case Begins::kNo:
      state_ = State::kContentBegin;
      return true;
  }
  return false;
}

bool AnswerParser::reason(AnswerParts& out) {
  const std::string_view close = format_.reasoning->close;
  const size_t at = held_.find(close);
  if (at == std::string::npos) {
    const size_t n = held_.size() - overlap(held_, close);
    emit_reasoning(std::string_view(held_).substr(0, n), out);
    held_.erase(0, n);
    return false;
  }
  emit_reasoning(std::string_view(held_).substr(0, at), out);
  held_.erase(0, at + close.size());
  space_.clear();
  after_reasoning_ = true;
  state_ = State::kStart;
  return true;
}

bool AnswerParser::content_begin() {
  const std::string_view mark = format_.reasoning->content_begin;
  const Begins found = mark.empty() ? Begins::kNo : begins(held_, mark);
  if (found == Begins::kMaybe) return false;
  if (found == Begins::kYes) held_.erase(0, mark.size());
  state_ = State::kContent;
  return true;
}

bool AnswerParser::content(AnswerParts& out) {
  const bool at_start = !has_content_ && n_calls_ == 0;
  const size_t n_space = std::min(held_.find_first_not_of(kSpace), held_.size());
  const Opener* found = nullptr;
  size_t at = std::string::npos, n_hold = 0;
  for (const Opener& opener : openers_) {
    size_t here = std::string::npos;
    if (!opener.format->at_start_only) {
      here = held_.find(opener.text);
      n_hold = std::max(n_hold, overlap(held_, opener.text));
    } else if (at_start) {
      const Begins begun = begins(std::string_view(held_).substr(n_space), opener.text);
      if (begun == Begins::kYes) here = n_space;
      if (begun == Begins::kMaybe) n_hold = held_.size();
    }
    if (here < at) {
      at = here;
      found = &opener;
    }
  }
  if (found == nullptr) {
    const size_t n = held_.size() - n_hold;
    emit_content(std::string_view(held_).substr(0, n), out);
    held_.erase(0, n);
    return false;
  }
  emit_content(std::string_view(held_).substr(0, at), out);
  opened_ = space_ + found->text;
  space_.clear();
  calls_ = found->format;
  held_.erase(0, at + found->text.size());
  state_ = State::kName;
  return true;
}

bool AnswerParser::name(AnswerParts& out) {
  const std::string_view mark = calls_->after_name;
  const size_t at = held_.find(mark);
  const bool complete = at != std::string::npos;
  const std::string_view head =
      std::string_view(held_).substr(0, complete ? at : held_.size() - overlap(held_, mark));
  const std::string_view id_mark = calls_->id_mark;
  const std::string_view name = id_mark.empty() ? head : head.substr(0, head.find(id_mark));
  const bool good = is_head(head, id_mark, complete) && (!complete || is_name(name));
  // Arguments are an object.
  const bool undecided = !complete || at + mark.size() == held_.size();
  if (good && undecided) return false;
  if (!good || held_[at + mark.size()] != '{') {
    const std::string text = std::exchange(opened_, {});
    has_content_ = has_content_ || !text.empty();
    emit(AnswerPart::kContent, text, out);
    state_ = State::kContent;
    return true;
  }
  emit(AnswerPart::kCall, name, out);
  ++n_calls_;
  held_.erase(0, at + mark.size());
  depth_ = 0;
  in_string_ = escaped_ = false;
  state_ = State::kArguments;
  return true;
}

bool AnswerParser::arguments(AnswerParts& out) {
  size_t n = 0;
  bool complete = false;
  while (n < held_.size() && !complete) {
    const char c = held_[n++];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      complete = --depth_ == 0;
    }
  }
  emit(AnswerPart::kArguments, std::string_view(held_).substr(0, n), out);
  held_.erase(0, n);
  if (complete) state_ = State::kAfter;
  return complete;
}

// Behind the arguments, or what follows them.
bool AnswerParser::after() {
  const CallFormat& calls = *calls_;
  const std::string next = std::string(calls.between) + std::string(calls.before_name);
  const std::string_view rest = held_;
  // The longest way on that fits; where two may still fit, more text decides.
  const Begins closing = begins(rest, calls.after_arguments);
  if (closing == Begins::kMaybe) return false;
  if (closing == Begins::kNo) {
    state_ = State::kContent;
    return true;
  }
  const std::string_view behind = rest.substr(calls.after_arguments.size());
  const Begins further = calls.parallel ? begins(behind, next) : Begins::kNo;
  if (further == Begins::kYes) {
    opened_ = next;
    held_.erase(0, calls.after_arguments.size() + next.size());
    state_ = State::kName;
    return true;
  }
  const Begins ending = calls.end.empty() ? Begins::kNo : begins(behind, calls.end);
  if (ending != Begins::kYes && (further == Begins::kMaybe || ending == Begins::kMaybe)) {
    return false;
  }
  const size_t n_end = ending == Begins::kYes ? calls.end.size() : 0;
  held_.erase(0, calls.after_arguments.size() + n_end);
  state_ = State::kContent;
  return true;
}

bool AnswerParser::advance(AnswerParts& out) {
  switch (state_) {
    case State::kStart:
      return start();
    case State::kReasoning:
      return reason(out);
    case State::kContentBegin:
      return content_begin();
    case State::kContent:
      return content(out);
    case State::kName:
      return name(out);
    case State::kArguments:
      return arguments(out);
    case State::kAfter:
      return after();
  }
  return false;
}

void AnswerParser::feed(std::string_view text, AnswerParts& out) {
  held_ += text;
  while (!held_.empty() && advance(out)) {
  }
}

void AnswerParser::finish(AnswerParts& out) {
  switch (state_) {
    case State::kReasoning:
      emit_reasoning(held_, out);
      break;
    case State::kArguments:
      break;
    case State::kAfter:  // the format's own text, cut off
      break;
    case State::kName:
      emit(AnswerPart::kContent, opened_ + held_, out);
      break;
    case State::kStart:
    case State::kContentBegin:
    case State::kContent:
      emit_content(held_, out);
      if (n_calls_ == 0) emit(AnswerPart::kContent, space_, out);
      break;
  }
  held_.clear();
  space_.clear();
}

}  // namespace maru::text
