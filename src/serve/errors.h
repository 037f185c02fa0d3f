// serve/errors.h - the one table from ErrorCode to HTTP, and the official shape of an error body.
//
// docs/errors.md says what a caller can do about each; a test compares the two.
// Threads: free functions without state.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "serve/http.h"

namespace maru::serve {

struct ErrorRow {
  ErrorCode code;
  int status;
  std::string_view type;    // of the Chat Completions API
  int retry_after_seconds;  // where nothing better is known; 0: no Retry-After header
  std::string_view advice;  // what the caller can do: the line in docs/errors.md
};

std::span<const ErrorRow> error_table();
const ErrorRow& error_row(ErrorCode code);

// {"error":{"message":...,"type":...,"param":...,"code":...}}; empty param and code become null.
std::string error_body(std::string_view message, std::string_view type, std::string_view param,
                       std::string_view code);

// wire_code replaces the name of the ErrorCode where the API has a word of its own for it
// ("model_not_found", "context_length_exceeded").
std::string error_body(const Error& error, std::string_view wire_code = {});
// retry_after_seconds: where it is known; else the table's for this code.
Response error_response(const Error& error, std::string_view wire_code = {},
                        double retry_after_seconds = 0);

// For what happens below the API: malformed requests, limits, unknown routes.
Response http_error(int status, std::string_view message, std::string_view wire_code);

}  // namespace maru::serve
