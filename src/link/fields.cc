#include "link/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/base64.h"

namespace maru::link {
namespace {

const Json& null_json() {
  static const Json null = nullptr;
  return null;
}

bool is_count(const Json& value, uint64_t max) {
  if (!value.is_number_integer()) return false;
  // A value that was parsed is unsigned where it can be; one that was built in C++ need not be.
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return false;
  return value.get<uint64_t>() <= max;
}

}  // namespace

bool is_int32(const Json& value) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned()) return is_count(value, std::numeric_limits<int32_t>::max());
  return value.get<int64_t>() >= std::numeric_limits<int32_t>::min();
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) {
    error_ = Error::invalid(fmt::format("{} must be an object", where_), where_);
  }
}

std::string Fields::path(std::string_view name) const {
  return where_.empty() ? std::string(name) : fmt::format("{}.{}", where_, name);
}

void Fields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void Fields::fail(std::string_view name, std::string_view expected) {
  fail(Error::invalid(fmt::format("field {} must be {}", path(name), expected), path(name)));
}

const Json& Fields::take(std::string_view name) {
  taken_.push_back(name);
  if (!object_.is_object()) return null_json();
  const auto found = object_.find(name);
  if (found == object_.end()) {
    fail(Error::invalid(fmt::format("field {} is missing", path(name)), path(name)));
    return null_json();
  }
  return *found;
}

bool Fields::boolean(std::string_view name) {
  const Json& value = take(name);
  if (value.is_boolean()) return value.get<bool>();
  fail(name, "true or false");
  return false;
}

double Fields::number(std::string_view name) {
  const Json& value = take(name);
  if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  fail(name, "a number");
  return 0;
}

uint64_t Fields::u64(std::string_view name) {
  const Json& value = take(name);
  if (is_count(value, std::numeric_limits<uint64_t>::max())) return value.get<uint64_t>();
  fail(name, "an integer from 0 to 2^64 - 1");
  return 0;
}

size_t Fields::count(std::string_view name, size_t max) {
  const Json& value = take(name);
  if (is_count(value, max)) return value.get<uint64_t>();
  fail(name, fmt::format("an integer from 0 to {}", max));
  return 0;
}

std::optional<size_t> Fields::optional_count(std::string_view name) {
  const Json& value = take(name);
  constexpr uint64_t kMax = uint64_t{1} << 53;
  if (is_count(value, kMax)) return value.get<uint64_t>();
  if (!value.is_null()) fail(name, fmt::format("null or an integer from 0 to {}", kMax));
  return std::nullopt;
}

std::optional<int64_t> Fields::optional_integer(std::string_view name) {
  const Json& value = take(name);
  const bool fits =
      value.is_number_integer() &&
      (!value.is_number_unsigned() || is_count(value, std::numeric_limits<int64_t>::max()));
  if (fits) return value.get<int64_t>();
  if (!value.is_null()) fail(name, "null or an integer of 64 bits");
  return std::nullopt;
}

std::optional<std::string> Fields::optional_bytes(std::string_view name) {
  const auto found = object_.find(name);
  if (found == object_.end() || !found->is_null()) return bytes(name);
  take(name);
  return std::nullopt;
}

std::string Fields::text(std::string_view name) {
  const Json& value = take(name);
  if (value.is_string()) return value.get<std::string>();
  fail(name, "a string");
  return {};
}

std::string Fields::bytes(std::string_view name) {
  const Json& value = take(name);
  if (!value.is_string()) {
    fail(name, "a string of base64");
    return {};
  }
  auto decoded = decode_base64(value.get_ref<const std::string&>());
  if (decoded.ok()) return std::move(decoded).value();
  fail(name, fmt::format("base64: {}", decoded.error().message));
  return {};
}

std::vector<int32_t> Fields::ids(std::string_view name, size_t n_max) {
  const Json& values = array(name, n_max);
  std::vector<int32_t> ids;
  ids.reserve(values.size());
  for (const Json& value : values) {
    if (!is_count(value, std::numeric_limits<int32_t>::max())) {
      fail(name, "an array of integers from 0 to 2147483647");
      return {};
    }
    ids.push_back(value.get<int32_t>());
  }
  return ids;
}

const Json& Fields::any(std::string_view name) { return take(name); }

const Json& Fields::array(std::string_view name, size_t n_max) {
  const Json& value = take(name);
  if (value.is_array() && value.size() <= n_max) return value;
  fail(name, fmt::format("an array of at most {} elements", n_max));
  static const Json empty = Json::array();
  return empty;
}

const Json& Fields::object(std::string_view name) {
  const Json& value = take(name);
  if (!value.is_object()) fail(name, "an object");
  return value;
}

Result<void> Fields::finish() const {
  if (error_) return *error_;
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::find(taken_, name) == taken_.end()) {
      return Error::invalid(fmt::format("field {} is unknown", path(name)), path(name));
    }
  }
  return {};
}

}  // namespace maru::link
