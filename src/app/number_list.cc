#include "app/number_list.h"

#include <fmt/format.h>

#include <charconv>

namespace maru::app {

Result<std::vector<size_t>> read_number_list(const std::string& text, size_t n_most, size_t least,
                                             size_t most) {
  std::vector<size_t> list;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    size_t value = 0;
    const auto [rest, error] = std::from_chars(at, end, value);
    const bool good = error == std::errc() && value >= least && value <= most;
    if (!good || (rest != end && *rest != ',') || list.size() == n_most) {
      return Error::invalid(
          fmt::format("'{}' is not accepted: up to {} numbers from {} to {}, with commas between",
                      text, n_most, least, most));
    }
    list.push_back(value);
    if (rest == end) return list;
    at = rest + 1;
  }
}

}  // namespace maru::app
