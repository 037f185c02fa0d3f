#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace maru {
namespace {

// What of "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT" is for people.
std::string_view plain_text(const Json::exception& error) {
  const std::string_view what = error.what();
  const size_t name_end = what.find("] ");
  const size_t place_end = what.find(": ");
  const bool has_place = what.find("parse error at line") < place_end;
  if (has_place && place_end != std::string_view::npos) return what.substr(place_end + 2);
  return name_end == std::string_view::npos ? what : what.substr(name_end + 2);
}

// Builds the value while the library reads the text. The library's own builder looks a key up
// among all earlier ones of its object: 2 MiB of short keys take it minutes. Here members are
// appended, and an object looks for keys that occur twice once, when it ends.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(size_t depth_max) : depth_max_(depth_max) {}

  bool null() override { return add(nullptr) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return add(value) != nullptr;
  }
  bool string(string_t& value) override { return add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }  // no part of JSON text

  bool start_object(size_t) override { return open(Json::value_t::object); }
  bool start_array(size_t) override { return open(Json::value_t::array); }
  bool key(string_t& name) override {
    // The base is a vector of members; emplace() would look the key up.
    Json::object_t& members = open_.back()->get_ref<Json::object_t&>();
    members.emplace_back(std::move(name), Json());
    return true;
  }
  bool end_object() override {
    keep_last_of_each_key(open_.back()->get_ref<Json::object_t&>());
    open_.pop_back();
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    error_ =
        Error::invalid(fmt::format("invalid JSON at byte {}: {}", position, plain_text(error)));
    return false;
  }

  Result<Json> take(bool complete) {
    if (error_) return std::move(*error_);
    if (!complete) return Error::invalid("invalid JSON");
    return std::move(root_);
  }

 private:
  // The place of the next value: the root, the end of an array, or the member whose key was read.
  // Null where it would be too deep.
  Json* add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      Json::array_t& items = open_.back()->get_ref<Json::array_t&>();
      return &items.emplace_back(std::move(value));
    }
    Json& member = open_.back()->get_ref<Json::object_t&>().back().second;
    member = std::move(value);
    return &member;
  }

  bool open(Json::value_t type) {
    if (open_.size() == depth_max_) {
      error_ = Error::invalid(fmt::format("JSON is nested deeper than {} levels", depth_max_));
      return false;
    }
    open_.push_back(add(Json(type)));
    return true;
  }

  // The last value of a key wins, in the place of the first.
  static void keep_last_of_each_key(Json::object_t& object) {
    Json::object_t::Container& members = object;  // its operator[] takes positions, not keys
    std::vector<uint32_t> order(members.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, [&](uint32_t a, uint32_t b) {
      const int compared = members[a].first.compare(members[b].first);
      return compared != 0 ? compared < 0 : a < b;
    });
    std::vector<bool> dropped(members.size());
    bool any = false;
    for (size_t i = 0; i + 1 < order.size();) {
      size_t last = i;
      while (last + 1 < order.size() && members[order[last + 1]].first == members[order[i]].first) {
        dropped[order[++last]] = true;
      }
      if (last != i) members[order[i]].second = std::move(members[order[last]].second);
      any = any || last != i;
      i = last + 1;
    }
    if (!any) return;
    Json::object_t kept;
    for (size_t i = 0; i < members.size(); ++i) {
      if (!dropped[i]) kept.emplace_back(members[i].first, std::move(members[i].second));
    }
    object = std::move(kept);
  }

  size_t depth_max_;
  Json root_;
  std::vector<Json*> open_;  // arrays and objects around the next value; only the last one grows
  std::optional<Error> error_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, size_t depth_max) {
  Builder builder(depth_max);
  const bool complete = Json::sax_parse(text, &builder);
  return builder.take(complete);
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace maru
