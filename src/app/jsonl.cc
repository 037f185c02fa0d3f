#include "app/jsonl.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <optional>

#include "app/terminal.h"

namespace maru::app {
namespace {

// Lines of standard input; one that is too long is read to its end and reported, not kept.
class LineReader {
 public:
  struct Line {
    std::string text;
    bool too_long = false;
  };

  // Whether next() would answer without waiting.
  bool has_line() const { return buffer_.find('\n', at_) != std::string::npos; }

  std::optional<Line> next() {
    Line line;
    while (true) {
      const size_t end = buffer_.find('\n', at_);
      if (end != std::string::npos) {
        append(line, end);
        at_ = end + 1;
        return line;
      }
      append(line, buffer_.size());
      if (!fill()) {
        if (line.text.empty() && !line.too_long) return std::nullopt;
        return line;
      }
    }
  }

 private:
  void append(Line& line, size_t end) {
    line.too_long = line.too_long || line.text.size() + (end - at_) > kJsonLineBytesMax;
    if (!line.too_long) line.text.append(buffer_, at_, end - at_);
    at_ = end;
  }

  bool fill() {
    std::array<char, 64 * 1024> piece;
    while (true) {
      const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      buffer_.assign(piece.data(), static_cast<size_t>(n));
      at_ = 0;
      return true;
    }
  }

  std::string buffer_;
  size_t at_ = 0;
};

Json error_json(const Error& error) {
  Json json = {{"code", error_code_name(error.code)}, {"message", error.message}};
  if (error.param == link::kContextLengthExceeded) {
    json["code"] = error.param;
  } else if (!error.param.empty()) {
    json["param"] = error.param;
  }
  return {{"error", json}};
}

Result<Json> parse_line(const LineReader::Line& line) {
  if (line.too_long) {
    return Error::exhausted(fmt::format("a line has at most {} bytes", kJsonLineBytesMax));
  }
  MARU_TRY(json, parse_json(line.text));
  if (!json.is_object()) return Error::invalid("a line is one JSON object");
  return json;
}

Error wrong(const char* name, const char* accepted) {
  return Error::invalid(fmt::format("'{}' must be {}", name, accepted), name);
}

// An engine that is started again after it died.
class Asker {
 public:
  Asker(const StartEngine& start, const AnswerBatch& answer, EngineClient client)
      : start_(start), answer_(answer), client_(std::move(client)) {}

  std::vector<Result<Json>> ask(const std::vector<Json>& questions) {
    std::vector<Result<Json>> answers = answer_(*client_, questions);
    CHECK(answers.size() == questions.size());
    if (client_->alive()) return answers;
    restart();
    for (size_t i = 0; questions.size() > 1 && i < questions.size() && !error_; ++i) {
      const bool is_lost = !answers[i].ok() && answers[i].error().code == ErrorCode::kUnavailable;
      if (!is_lost) continue;
      answers[i] = std::move(answer_(*client_, {questions[i]}).front());
      if (!client_->alive()) restart();
    }
    return answers;
  }

  // Why there is no engine any more.
  const std::optional<Error>& error() const { return error_; }

 private:
  void restart() {
    auto fresh = start_();
    if (fresh.ok()) {
      client_ = std::move(fresh).value();
    } else {
      error_ = fresh.error();
    }
  }

  const StartEngine& start_;
  const AnswerBatch& answer_;
  EngineClient client_;
  std::optional<Error> error_;
};

}  // namespace

int answer_batches(const StartEngine& start, size_t n_lines_max, const AnswerBatch& answer) {
  auto engine = start();
  if (!engine.ok()) return fail(engine.error());
  Asker asker(start, answer, std::move(engine).value());
  LineReader lines;
  while (auto line = lines.next()) {
    std::vector<Result<Json>> parsed;
    std::vector<Json> questions;
    while (true) {
      parsed.push_back(parse_line(*line));
      if (parsed.back().ok()) questions.push_back(*parsed.back());
      if (parsed.size() == n_lines_max || !lines.has_line()) break;
      line = lines.next();
    }
    std::vector<Result<Json>> answers;
    if (!questions.empty()) answers = asker.ask(questions);
    size_t n_answered = 0;
    for (const Result<Json>& each : parsed) {
      const Result<Json>& shown = each.ok() ? answers[n_answered++] : each;
      print_json(shown.ok() ? *shown : error_json(shown.error()));
    }
    if (asker.error()) return fail(*asker.error());
  }
  return kExitOk;
}

int answer_lines(const StartEngine& start, const AnswerLine& answer) {
  return answer_batches(start, 1, [&](link::Client& client, const std::vector<Json>& lines) {
    return std::vector<Result<Json>>{answer(client, lines.front())};
  });
}

int answer_lines(const std::function<Result<Json>(const Json&)>& answer) {
  LineReader lines;
  while (const auto line = lines.next()) {
    const auto parsed = parse_line(*line);
    const Result<Json> shown = parsed.ok() ? answer(*parsed) : Result<Json>(parsed.error());
    print_json(shown.ok() ? *shown : error_json(shown.error()));
  }
  return kExitOk;
}

Result<std::string> text_field(const Json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || !found->is_string()) return wrong(name, "a string");
  return found->get<std::string>();
}

Result<bool> flag_field(const Json& line, const char* name, bool otherwise) {
  const auto found = line.find(name);
  if (found == line.end() || found->is_null()) return otherwise;
  if (!found->is_boolean()) return wrong(name, "true or false");
  return found->get<bool>();
}

Result<size_t> count_field(const Json& line, const char* name, size_t otherwise) {
  const auto found = line.find(name);
  if (found == line.end() || found->is_null()) return otherwise;
  if (!found->is_number_unsigned()) return wrong(name, "a whole number from 0");
  return found->get<size_t>();
}

Result<std::vector<link::TokenId>> ids_field(const Json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || !found->is_array()) return wrong(name, "an array of token ids");
  std::vector<link::TokenId> ids;
  ids.reserve(found->size());
  for (const Json& id : *found) {
    if (!id.is_number_unsigned() ||
        id.get<uint64_t>() > std::numeric_limits<link::TokenId>::max()) {
      return wrong(name, "an array of token ids, whole numbers from 0 to 2147483647");
    }
    ids.push_back(id.get<link::TokenId>());
  }
  return ids;
}

}  // namespace maru::app
