#include "importer/charsmap_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace maru::importer {
namespace {

using Entries = std::span<const std::pair<std::string, std::string>>;

constexpr uint32_t kHasLeaf = 1u << 8;
constexpr uint32_t kIsValue = 1u << 31;
constexpr size_t kUnitsMax = 1u << 21;  // an offset has as many bits

// A unit stands at its parent's place xor the parent's offset xor its own byte.
class DoubleArray {
 public:
  // `values[i]` belongs to the i-th key. Requires: keys sorted, none begins another.
  Result<std::vector<uint32_t>> build(Entries entries, const std::vector<uint32_t>& values) {
    entries_ = entries;
    values_ = &values;
    take(0);
    units_[0] = 0;
    MARU_TRY_VOID(place(0, 0, 0, entries.size()));
    units_.resize((units_.size() + 255) / 256 * 256);
    return std::move(units_);
  }

 private:
  // Gives the children of the keys [begin, end), which share their first `depth` bytes and stand at
  // unit `at`, their units, and theirs in turn. The depth is that of the longest key.
  Result<void> place(uint32_t at, size_t depth, size_t begin, size_t end) {
    std::vector<std::pair<uint8_t, size_t>> children;  // byte, first key
    for (size_t i = begin; i < end; ++i) {
      const std::string& key = entries_[i].first;
      const uint8_t byte = depth < key.size() ? static_cast<uint8_t>(key[depth]) : 0;
      if (children.empty() || children.back().first != byte) children.emplace_back(byte, i);
    }
    const uint32_t base = find_base(children);
    if (base >= kUnitsMax) return Error::corrupt("the normalization has too many entries");
    for (const auto& [byte, first] : children) take(base ^ byte);
    units_[at] |= (at ^ base) << 10;
    if (children.front().first == 0) units_[at] |= kHasLeaf;
    for (size_t i = 0; i < children.size(); ++i) {
      const auto& [byte, first] = children[i];
      const size_t last = i + 1 < children.size() ? children[i + 1].second : end;
      if (byte == 0) {
        units_[base] = (*values_)[first] | kIsValue;
        continue;
      }
      units_[base ^ byte] = byte;
      MARU_TRY_VOID(place(base ^ byte, depth + 1, first, last));
    }
    return {};
  }

  bool is_free(uint32_t unit) const { return unit >= taken_.size() || !taken_[unit]; }

  uint32_t find_base(const std::vector<std::pair<uint8_t, size_t>>& children) {
    while (!is_free(first_free_)) ++first_free_;
    for (uint32_t unit = first_free_; unit < kUnitsMax; ++unit) {
      const uint32_t base = unit ^ children.front().first;
      const bool fits = base != 0 && std::ranges::all_of(children, [&](const auto& child) {
                          return is_free(base ^ child.first);
                        });
      if (fits) return base;
    }
    return kUnitsMax;
  }

  void take(uint32_t unit) {
    if (unit >= units_.size()) units_.resize(unit + 1);
    if (unit >= taken_.size()) taken_.resize(unit + 1);
    taken_[unit] = true;
  }

  Entries entries_;
  const std::vector<uint32_t>* values_ = nullptr;
  std::vector<uint32_t> units_;
  std::vector<bool> taken_;
  uint32_t first_free_ = 0;
};

}  // namespace

Result<std::string> make_charsmap(std::vector<std::pair<std::string, std::string>> entries) {
  constexpr size_t kKeyBytesMax = 64;
  if (entries.size() > kCharsmapEntriesMax) {
    return Error::corrupt(fmt::format("the normalization has {} entries, more than {}",
                                      entries.size(), kCharsmapEntriesMax));
  }
  if (entries.empty()) return std::string();
  std::ranges::sort(entries);
  std::string replacements;
  std::vector<uint32_t> values;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& [key, replacement] = entries[i];
    if (key.empty() || key.size() > kKeyBytesMax || key.find('\0') != std::string::npos ||
        replacement.find('\0') != std::string::npos ||
        (i + 1 < entries.size() && entries[i + 1].first.starts_with(key))) {
      return Error::corrupt(fmt::format("entry {} of the normalization makes no sense", i));
    }
    values.push_back(static_cast<uint32_t>(replacements.size()));
    replacements += replacement;
    replacements += '\0';
  }
  MARU_TRY(units, DoubleArray().build(entries, values));
  const auto n_bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::string blob(sizeof n_bytes + n_bytes, '\0');
  std::memcpy(blob.data(), &n_bytes, sizeof n_bytes);
  std::memcpy(blob.data() + sizeof n_bytes, units.data(), n_bytes);
  return blob + replacements;
}

}  // namespace maru::importer
