// base/result.h - how house code reports that the world failed: a value or an Error, never an
// exception.
//
// Three kinds of trouble, three means: our own bug is CHECK (base/check.h); the world failing
// (files, bytes from outside, bad requests) is Result<T>; ordinary outcomes are enums, bool or
// optional. Threads: plain values; safe to move between threads.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace maru {

// The one list of error codes. serve/ maps each to an HTTP status in one table; docs/errors.md says
// what a caller can do about each.
enum class ErrorCode {
  kInvalidArgument,  // the caller's value is wrong; the message says which and what is accepted
  kNotFound,         // no such model, file, route or id
  kUnsupported,      // well-formed, but Maru cannot do it (yet); named in the message
  kCorrupt,          // outside bytes that break their own format (GGUF, protocol frames, downloads)
  kResourceExhausted,  // a named limit, memory or disk
  kUnavailable,        // not now: starting, busy, gone; trying again can help
  kCancelled,          // the caller went away or asked to stop
  kIo,                 // the operating system said no; carries its words
  kInternal,           // our fault, contained to one request
};

// "invalid_argument" and so on: the stable spelling in JSON and logs.
std::string_view error_code_name(ErrorCode code);
std::optional<ErrorCode> error_code_from_name(std::string_view name);

struct Error {
  ErrorCode code;
  std::string message;  // one sentence for a person: what was wrong, where, what is accepted
  std::string param;    // the offending field as a path ("messages[0].role"), or empty

  static Error invalid(std::string message, std::string param = {}) {
    return {ErrorCode::kInvalidArgument, std::move(message), std::move(param)};
  }
  static Error corrupt(std::string message) {
    return {ErrorCode::kCorrupt, std::move(message), {}};
  }
  static Error unsupported(std::string message) {
    return {ErrorCode::kUnsupported, std::move(message), {}};
  }
  static Error not_found(std::string message) {
    return {ErrorCode::kNotFound, std::move(message), {}};
  }
  static Error exhausted(std::string message) {
    return {ErrorCode::kResourceExhausted, std::move(message), {}};
  }
  static Error unavailable(std::string message) {
    return {ErrorCode::kUnavailable, std::move(message), {}};
  }
  static Error io(std::string message) { return {ErrorCode::kIo, std::move(message), {}}; }
  static Error internal(std::string message) {
    return {ErrorCode::kInternal, std::move(message), {}};
  }
};

// A T or an Error. Result<void> carries success or an Error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // Requires: ok(). Taking the value of a failed Result is a bug of ours.
  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  // Requires: !ok().
  const Error& error() const& {
    CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace maru

// MARU_TRY(name, expression): name is the value of a Result, or the enclosing function returns its
// error. MARU_TRY_VOID(expression): the same where there is no value.
#define MARU_CONCAT_INNER(a, b) a##b
#define MARU_CONCAT(a, b) MARU_CONCAT_INNER(a, b)
#define MARU_TRY(name, ...) MARU_TRY_IMPL(MARU_CONCAT(maru_try_, __LINE__), name, __VA_ARGS__)
#define MARU_TRY_IMPL(result, name, ...)              \
  auto result = (__VA_ARGS__);                        \
  if (!result.ok()) return std::move(result).error(); \
  auto name = std::move(result).value()
#define MARU_TRY_VOID(...)                                                \
  do {                                                                    \
    auto maru_try_result = (__VA_ARGS__);                                 \
    if (!maru_try_result.ok()) return std::move(maru_try_result).error(); \
  } while (false)
