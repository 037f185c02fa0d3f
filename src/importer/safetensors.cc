#include "importer/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/json.h"

namespace maru::importer {
namespace {

static_assert(std::endian::native == std::endian::little);

struct TypeInfo {
  std::string_view name;
  SourceType type;
  size_t n_bytes;
};

constexpr std::array kTypes = {
    TypeInfo{"F64", SourceType::kF64, 8},    TypeInfo{"F32", SourceType::kF32, 4},
    TypeInfo{"F16", SourceType::kF16, 2},    TypeInfo{"BF16", SourceType::kBF16, 2},
    TypeInfo{"F8_E4M3", SourceType::kF8, 1}, TypeInfo{"F8_E5M2", SourceType::kF8, 1},
    TypeInfo{"I64", SourceType::kI64, 8},    TypeInfo{"U64", SourceType::kI64, 8},
    TypeInfo{"I32", SourceType::kI32, 4},    TypeInfo{"U32", SourceType::kI32, 4},
    TypeInfo{"I16", SourceType::kI16, 2},    TypeInfo{"U16", SourceType::kI16, 2},
    TypeInfo{"I8", SourceType::kI8, 1},      TypeInfo{"U8", SourceType::kU8, 1},
    TypeInfo{"BOOL", SourceType::kBool, 1},
};

// Deep enough for {"name": {"shape": [1]}}.
constexpr size_t kHeaderDepthMax = 4;

Error bad(std::string_view tensor, std::string_view what) {
  return Error::corrupt(fmt::format("safetensors: tensor '{}' {}", tensor.substr(0, 100), what));
}

// An unsigned integer of the header.
std::optional<uint64_t> as_count(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<uint64_t>();
}

Result<SourceTensor> read_tensor(const std::string& name, const Json& entry,
                                 std::span<const std::byte> data) {
  if (name.empty() || name.size() > kSourceNameBytesMax) {
    return bad(name, fmt::format("has a name of {} bytes; 1 to {} are allowed", name.size(),
                                 kSourceNameBytesMax));
  }
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return bad(name, "lacks dtype, shape or data_offsets");
  }
  const Json& dtype = entry["dtype"];
  const Json& shape = entry["shape"];
  const Json& offsets = entry["data_offsets"];
  if (!dtype.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) {
    return bad(name, "has a dtype, shape or data_offsets of the wrong kind");
  }
  const auto info = std::ranges::find(kTypes, dtype.get_ref<const std::string&>(), &TypeInfo::name);
  if (info == kTypes.end()) {
    return Error::unsupported(fmt::format("safetensors: tensor '{}' has the unknown type '{}'",
                                          name, dtype.get<std::string>().substr(0, 100)));
  }
  if (shape.size() > kSourceDimsMax) {
    return bad(name, fmt::format("has {} dimensions, more than {}", shape.size(), kSourceDimsMax));
  }
  SourceTensor tensor{name, info->type, {}, {}};
  uint64_t n_bytes = info->n_bytes;
  for (const Json& item : shape) {
    const auto dim = as_count(item);
    if (!dim) return bad(name, "has a shape that is no list of sizes");
    if (*dim != 0 && n_bytes > std::numeric_limits<int64_t>::max() / *dim) {
      return bad(name, "is larger than any file");
    }
    n_bytes *= *dim;
    tensor.shape.push_back(static_cast<size_t>(*dim));
  }
  const auto begin = as_count(offsets[0]);
  const auto end = as_count(offsets[1]);
  if (!begin || !end || *begin > *end || *end > data.size()) {
    return bad(name, fmt::format("lies outside the {} bytes of the file's data: is it truncated?",
                                 data.size()));
  }
  if (*end - *begin != n_bytes) {
    return bad(name, fmt::format("has {} bytes; {} of shape {} takes {}", *end - *begin, info->name,
                                 tensor.shape_text(), n_bytes));
  }
  tensor.bytes = data.subspan(static_cast<size_t>(*begin), static_cast<size_t>(n_bytes));
  return tensor;
}

// The tensors cover the data once, without gaps.
Result<void> check_cover(std::span<const SourceTensor> tensors, std::span<const std::byte> data) {
  const std::byte* at = data.data();
  for (const SourceTensor& tensor : tensors) {
    if (tensor.bytes.data() < at) return bad(tensor.name, "shares bytes with another");
    if (tensor.bytes.data() > at) return bad(tensor.name, "has bytes before it that nobody owns");
    at = tensor.bytes.data() + tensor.bytes.size();
  }
  if (at == data.data() + data.size()) return {};
  return Error::corrupt(
      fmt::format("safetensors: {} bytes behind the last tensor", data.data() + data.size() - at));
}

}  // namespace

std::string_view source_type_name(SourceType type) {
  return std::ranges::find(kTypes, type, &TypeInfo::type)->name;
}

size_t SourceTensor::n_elements() const {
  size_t n = 1;
  for (const size_t dim : shape) n *= dim;
  return n;
}

std::string SourceTensor::shape_text() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Result<std::vector<SourceTensor>> parse_safetensors(std::span<const std::byte> bytes) {
  uint64_t n_header = 0;
  if (bytes.size() < sizeof n_header) {
    return Error::corrupt(fmt::format("{} bytes are no safetensors file", bytes.size()));
  }
  std::memcpy(&n_header, bytes.data(), sizeof n_header);
  const std::span<const std::byte> rest = bytes.subspan(sizeof n_header);
  if (n_header > kHeaderBytesMax) {
    return Error::corrupt(
        fmt::format("a safetensors header of {} bytes; at most {} are read: is this another kind "
                    "of file?",
                    n_header, kHeaderBytesMax));
  }
  if (n_header > rest.size()) {
    return Error::corrupt(
        fmt::format("safetensors: a header of {} bytes in a file of {}: it is truncated", n_header,
                    bytes.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(rest.data()),
                              static_cast<size_t>(n_header));
  const std::span<const std::byte> data = rest.subspan(static_cast<size_t>(n_header));
  const auto header = parse_json(text, kHeaderDepthMax);
  if (!header.ok()) {
    return Error::corrupt("safetensors: the header is no JSON: " + header.error().message);
  }
  if (!header->is_object()) return Error::corrupt("safetensors: the header is no JSON object");
  if (header->size() > kSourceTensorsMax) {
    return Error::corrupt(
        fmt::format("safetensors: {} tensors, more than {}", header->size(), kSourceTensorsMax));
  }
  std::vector<SourceTensor> tensors;
  for (const auto& [name, entry] : header->items()) {
    if (name == "__metadata__") continue;
    MARU_TRY(tensor, read_tensor(name, entry, data));
    tensors.push_back(std::move(tensor));
  }
  std::ranges::sort(tensors, [](const SourceTensor& a, const SourceTensor& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  MARU_TRY_VOID(check_cover(tensors, data));
  return tensors;
}

Result<SourceFile> open_safetensors(const std::filesystem::path& path) {
  MARU_TRY(mapping, MappedFile::open(path));
  auto tensors = parse_safetensors(mapping.bytes());
  if (!tensors.ok()) {
    Error error = std::move(tensors).error();
    error.message = fmt::format("'{}': {}", path.string(), error.message);
    return error;
  }
  return SourceFile(std::move(mapping), std::move(tensors).value());
}

void SourceFile::drop(std::span<const std::byte> bytes) const {
  if (!mapping_) return;
  mapping_->drop(static_cast<size_t>(bytes.data() - mapping_->bytes().data()), bytes.size());
}

}  // namespace maru::importer
