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

}  // namespace

int answer_lines(const StartEngine& start, const AnswerLine& answer) {
  auto engine = start();
  if (!engine.ok()) return fail(engine.error());
  EngineClient client = std::move(engine).value();
  LineReader lines;
  while (const auto line = lines.next()) {
    const auto json = parse_line(*line);
    if (!json.ok()) {
      print_json(error_json(json.error()));
      continue;
    }
    const auto answered = answer(*client, *json);
    print_json(answered.ok() ? *answered : error_json(answered.error()));
    if (!client->alive()) {
      auto fresh = start();
      if (!fresh.ok()) return fail(fresh.error());
      client = std::move(fresh).value();
    }
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
