// serve/errors.cc - see errors.h.
#include "serve/errors.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "serve/json_text.h"

namespace maru::serve {
namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";
constexpr double kRetryAfterMaxSeconds = 3600;

constexpr std::array<ErrorRow, 9> kTable{{
    {ErrorCode::kInvalidArgument, 400, kInvalidRequest, 0,
     "Correct the field that `param` names; the message says what is accepted."},
    {ErrorCode::kNotFound, 404, kInvalidRequest, 0,
     "Check the name; for a model the message lists the nearest names and the command that "
     "fetches it."},
    {ErrorCode::kUnsupported, 400, kInvalidRequest, 0,
     "Leave out what the message names: Maru cannot do it, and would not do it silently."},
    {ErrorCode::kCorrupt, 500, kServerError, 0,
     "A model file breaks its own format: fetch it again with `maru pull`."},
    {ErrorCode::kResourceExhausted, 429, "rate_limit_error", 2,
     "A named limit is reached: wait as long as Retry-After says, or send less."},
    {ErrorCode::kUnavailable, 503, kServerError, 2,
     "The engine is starting, stopping or was lost: try again after Retry-After."},
    {ErrorCode::kCancelled, 499, kInvalidRequest, 0,
     "The request was cancelled; nothing is left of it."},
    {ErrorCode::kIo, 500, kServerError, 0,
     "The operating system refused; its words are in the message and the log."},
    {ErrorCode::kInternal, 500, kServerError, 0,
     "A fault in Maru, contained to this request: please report the message."},
}};

void append_string_or_null(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

}  // namespace

std::span<const ErrorRow> error_table() { return kTable; }

const ErrorRow& error_row(ErrorCode code) {
  const auto row = std::ranges::find(kTable, code, &ErrorRow::code);
  CHECK(row != kTable.end());
  return *row;
}

std::string error_body(std::string_view message, std::string_view type, std::string_view param,
                       std::string_view code) {
  std::string out = "{\"error\":{\"message\":";
  append_json_string(out, message);
  out += ",\"type\":";
  append_json_string(out, type);
  out += ",\"param\":";
  append_string_or_null(out, param);
  out += ",\"code\":";
  append_string_or_null(out, code);
  out += "}}";
  return out;
}

std::string error_body(const Error& error, std::string_view wire_code) {
  if (wire_code.empty()) wire_code = error_code_name(error.code);
  return error_body(error.message, error_row(error.code).type, error.param, wire_code);
}

Response error_response(const Error& error, std::string_view wire_code,
                        double retry_after_seconds) {
  const ErrorRow& row = error_row(error.code);
  Response response;
  response.status = row.status;
  response.content_type = "application/json";
  if (row.retry_after_seconds > 0) {
    const double seconds = retry_after_seconds > 0 ? retry_after_seconds : row.retry_after_seconds;
    const auto whole = static_cast<int>(std::ceil(std::min(seconds, kRetryAfterMaxSeconds)));
    response.headers.push_back({"Retry-After", std::to_string(whole)});
  }
  response.body = error_body(error, wire_code);
  return response;
}

Response http_error(int status, std::string_view message, std::string_view wire_code) {
  Response response;
  response.status = status;
  response.content_type = "application/json";
  const std::string_view type = status < 500 ? kInvalidRequest : kServerError;
  response.body = error_body(message, type, {}, wire_code);
  return response;
}

}  // namespace maru::serve
