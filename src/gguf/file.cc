#include "gguf/file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include "gguf/cursor.h"

namespace maru::gguf {
namespace {

constexpr std::string_view kMagic = "GGUF";

struct Signature {
  size_t offset;
  std::string_view bytes;
  std::string_view what;
};

using namespace std::string_view_literals;

// What people hand over instead of a model.
constexpr Signature kSignatures[] = {
    {0, "PK\x03\x04"sv, "a zip archive (a PyTorch checkpoint or a wheel?)"sv},
    {0, "version https://git-lfs"sv, "a git-lfs pointer: the file itself was not downloaded"sv},
    {0, "<!DOCTYPE"sv, "an HTML page: the download got a web page"sv},
    {0, "<!doctype"sv, "an HTML page: the download got a web page"sv},
    {0, "<html"sv, "an HTML page: the download got a web page"sv},
    {8, "{\""sv, "a safetensors file"sv},
    {0, "{"sv, "JSON text"sv},
    {0, "\x1F\x8B"sv, "gzip data: unpack it first"sv},
    {0, "\x28\xB5\x2F\xFD"sv, "zstd data: unpack it first"sv},
    {0, "BZh"sv, "bzip2 data: unpack it first"sv},
    {0, "lmgg"sv, "a GGML file from before GGUF"sv},
    {0, "fmgg"sv, "a GGMF file from before GGUF"sv},
    {0, "tjgg"sv, "a GGJT file from before GGUF"sv},
    {0, "\x89HDF"sv, "an HDF5 file"sv},
    {0,
     "\x7F"
     "ELF"sv,
     "a Linux program"sv},
    {0, "%PDF"sv, "a PDF"sv},
    {0, "\0\0\0\0"sv, "zeros: perhaps an unfinished download"sv},
};

Error not_gguf(std::string_view text) {
  if (text.empty()) return Error::corrupt("not a GGUF file: it is empty");
  for (const Signature& signature : kSignatures) {
    if (text.size() >= signature.offset &&
        text.substr(signature.offset).starts_with(signature.bytes)) {
      return Error::corrupt(fmt::format("not a GGUF file: it looks like {}", signature.what));
    }
  }
  std::string hex;
  for (const char c : text.substr(0, 8)) {
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<uint8_t>(c));
  }
  return Error::corrupt(fmt::format("not a GGUF file: it begins with the bytes {}", hex));
}

struct Header {
  uint64_t n_tensors;
  uint64_t n_entries;
};

Result<Header> read_header(Cursor& cursor, std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 32));
  if (!text.starts_with(kMagic)) return not_gguf(text);
  MARU_TRY_VOID(cursor.take(kMagic.size(), "the magic"));
  MARU_TRY(version, cursor.number<uint32_t>("the version"));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return Error::unsupported("the GGUF file is big endian; Maru reads little endian files");
  }
  if (version != 2 && version != 3) {
    return Error::unsupported(
        fmt::format("the GGUF file has version {}; Maru reads versions 2 and 3", version));
  }
  MARU_TRY(n_tensors, cursor.number<uint64_t>("the number of tensors"));
  MARU_TRY(n_entries, cursor.number<uint64_t>("the number of metadata entries"));
  if (n_tensors > kTensorsMax) {
    return Error::corrupt(fmt::format(
        "the GGUF file declares {} tensors, more than the limit of {}", n_tensors, kTensorsMax));
  }
  return Header{n_tensors, n_entries};
}

// A tensor whose bytes are not placed yet: their offset counts from the start of the data.
struct TensorInfo {
  TensorView view;
  uint64_t offset;
  uint64_t n_bytes;
};

Result<void> read_dims(Cursor& cursor, TensorView& view) {
  const std::string what = fmt::format("tensor '{}'", shown(view.name));
  MARU_TRY(n_dims, cursor.number<uint32_t>(what));
  if (n_dims > kDimsMax) {
    return Error::corrupt(
        fmt::format("{} has {} dimensions, more than the limit of {}", what, n_dims, kDimsMax));
  }
  view.n_dims = n_dims;
  uint64_t n_elements = 1;
  for (uint32_t i = 0; i < n_dims; ++i) {
    MARU_TRY(dim, cursor.number<uint64_t>(what));
    if (dim == 0) return Error::corrupt(fmt::format("{} has a dimension of 0", what));
    if (__builtin_mul_overflow(n_elements, dim, &n_elements)) {
      return Error::corrupt(fmt::format("{} has more than 2^64 elements", what));
    }
    view.dims[i] = dim;
  }
  return {};
}

Result<TensorInfo> read_tensor_info(Cursor& cursor) {
  TensorInfo info;
  MARU_TRY(name, cursor.string(kTensorNameBytesMax, "the name of a tensor"));
  info.view.name = name;
  MARU_TRY_VOID(read_dims(cursor, info.view));
  MARU_TRY(type, cursor.number<uint32_t>("the type of a tensor"));
  const auto dtype = tensor::dtype_info(type);
  if (!dtype) {
    return Error::unsupported(
        fmt::format("tensor '{}' has type number {}, which Maru does not know", shown(name), type));
  }
  info.view.dtype = dtype->dtype;
  const uint64_t n_cols = info.view.dims[0];
  if (n_cols % dtype->block_elements != 0) {
    return Error::corrupt(
        fmt::format("tensor '{}' has rows of {} elements; {} needs a multiple of {}", shown(name),
                    n_cols, dtype->name, dtype->block_elements));
  }
  if (__builtin_mul_overflow(info.view.n_elements() / dtype->block_elements, dtype->block_bytes,
                             &info.n_bytes)) {
    return Error::corrupt(fmt::format("tensor '{}' has more than 2^64 bytes", shown(name)));
  }
  MARU_TRY(offset, cursor.number<uint64_t>("the offset of a tensor"));
  info.offset = offset;
  return info;
}

Result<size_t> read_alignment(const Metadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  MARU_TRY(alignment, metadata.get_u32_or(kKey, kAlignmentDefault));
  if (!std::has_single_bit(alignment) || alignment > kAlignmentMax) {
    return Error::corrupt(fmt::format("metadata key '{}' is {}, expected a power of two up to {}",
                                      kKey, alignment, kAlignmentMax));
  }
  return alignment;
}

// Sets every view's bytes. `begin` is where the tensor infos end.
Result<void> place_tensors(std::vector<TensorInfo>& infos, std::span<const std::byte> file,
                           size_t begin, size_t alignment) {
  // begin <= file size < 2^63, alignment <= 4 KiB: no overflow.
  const uint64_t data = (begin + alignment - 1) / alignment * alignment;
  const TensorInfo* last = nullptr;
  uint64_t end_max = 0;
  for (const TensorInfo& info : infos) {
    uint64_t end = 0;
    if (info.offset % alignment != 0) {
      return Error::corrupt(fmt::format("tensor '{}' is at offset {}, no multiple of {}",
                                        shown(info.view.name), info.offset, alignment));
    }
    if (__builtin_add_overflow(data, info.offset, &end) ||
        __builtin_add_overflow(end, info.n_bytes, &end)) {
      return Error::corrupt(
          fmt::format("tensor '{}' ends beyond 2^64 bytes", shown(info.view.name)));
    }
    if (end >= end_max) {
      end_max = end;
      last = &info;
    }
  }
  if (last != nullptr && end_max > file.size()) {
    return Error::corrupt(fmt::format(
        "the GGUF file is truncated: tensor '{}' ends at byte {}, the file has {} bytes",
        shown(last->view.name), end_max, file.size()));
  }
  for (TensorInfo& info : infos) {
    info.view.bytes = file.subspan(data + info.offset, info.n_bytes);
  }
  return {};
}

// Two tensors of the same bytes would let a small file ask for much memory.
Result<void> check_no_overlap(const std::vector<TensorInfo>& infos) {
  std::vector<const TensorInfo*> order;
  order.reserve(infos.size());
  for (const TensorInfo& info : infos) order.push_back(&info);
  std::ranges::sort(order, {}, [](const TensorInfo* info) { return info->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset - order[i - 1]->offset < order[i - 1]->n_bytes) {
      return Error::corrupt(fmt::format("tensors '{}' and '{}' overlap",
                                        shown(order[i - 1]->view.name),
                                        shown(order[i]->view.name)));
    }
  }
  return {};
}

constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitNumber = "split.no";
constexpr std::string_view kSplitTensors = "split.tensors.count";

// The end of the name of a part, counted from 1.
std::string part_ending(uint32_t part, uint32_t n_parts) {
  return fmt::format("-{:05}-of-{:05}.gguf", part, n_parts);
}

Error about(const std::filesystem::path& path, Error error) {
  const std::string name = path.string();
  if (error.message.find(name) == std::string::npos) {
    error.message = fmt::format("'{}': {}", name, error.message);
  }
  return error;
}

}  // namespace

Result<Metadata> File::read_part(std::span<const std::byte> bytes) {
  Cursor cursor(bytes);
  MARU_TRY(header, read_header(cursor, bytes));
  MARU_TRY(metadata, Metadata::read(cursor, header.n_entries));
  if (header.n_tensors > kTensorsMax - tensors_.size()) {
    return Error::corrupt(
        fmt::format("the GGUF file has more than the limit of {} tensors", kTensorsMax));
  }
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < header.n_tensors; ++i) {
    MARU_TRY(info, read_tensor_info(cursor));
    infos.push_back(info);
  }
  MARU_TRY(alignment, read_alignment(metadata));
  MARU_TRY_VOID(place_tensors(infos, bytes, cursor.offset(), alignment));
  MARU_TRY_VOID(check_no_overlap(infos));
  for (const TensorInfo& info : infos) tensors_.push_back(info.view);
  return metadata;
}

Result<void> File::index_names() {
  for (uint32_t i = 0; i < tensors_.size(); ++i) by_name_.push_back(i);
  const auto name_of = [&](uint32_t i) { return tensors_[i].name; };
  std::ranges::sort(by_name_, {}, name_of);
  const auto twice = std::ranges::adjacent_find(by_name_, {}, name_of);
  if (twice != by_name_.end()) {
    return Error::corrupt(fmt::format("the tensor name '{}' occurs twice", shown(name_of(*twice))));
  }
  return {};
}

Result<File> File::parse(std::span<const std::byte> bytes) {
  File file;
  MARU_TRY(metadata, file.read_part(bytes));
  file.metadata_ = std::move(metadata);
  MARU_TRY_VOID(file.index_names());
  return file;
}

Result<Metadata> File::open_part(const std::filesystem::path& path) {
  MARU_TRY(mapping, MappedFile::open(path));
  auto metadata = read_part(mapping.bytes());
  if (!metadata.ok()) return about(path, std::move(metadata).error());
  mappings_.push_back(std::move(mapping));
  return metadata;
}

Result<void> File::open_other_parts(const std::filesystem::path& first) {
  MARU_TRY(n_parts, metadata_.get_u32_or(kSplitCount, 1));
  MARU_TRY(number, metadata_.get_u32_or(kSplitNumber, 0));
  if (n_parts <= 1) return {};
  if (n_parts > kPartsMax) {
    return Error::corrupt(fmt::format("the model is split into {} parts, more than the limit of {}",
                                      n_parts, kPartsMax));
  }
  if (number != 0) {
    return Error::corrupt(
        fmt::format("this is part {} of {} of a model: open part 1", number + 1, n_parts));
  }
  const std::string name = first.filename().string();
  const std::string ending = part_ending(1, n_parts);
  if (!name.ends_with(ending)) {
    return Error::corrupt(
        fmt::format("the model is split into {} parts, so the name of the first "
                    "must end in '{}'",
                    n_parts, ending));
  }
  const std::string stem = name.substr(0, name.size() - ending.size());
  for (uint32_t i = 1; i < n_parts; ++i) {
    MARU_TRY(part, open_part(first.parent_path() / (stem + part_ending(i + 1, n_parts))));
    MARU_TRY(part_count, part.get_u32(kSplitCount));
    MARU_TRY(part_number, part.get_u32(kSplitNumber));
    if (part_count != n_parts || part_number != i) {
      return Error::corrupt(fmt::format("part {} of {} says that it is part {} of {}", i + 1,
                                        n_parts, uint64_t{part_number} + 1, part_count));
    }
  }
  MARU_TRY(n_tensors, metadata_.get_u32_or(kSplitTensors, static_cast<uint32_t>(tensors_.size())));
  if (n_tensors != tensors_.size()) {
    return Error::corrupt(fmt::format("the model has {} tensors in {} parts, expected {}",
                                      tensors_.size(), n_parts, n_tensors));
  }
  return {};
}

Result<File> File::open(const std::filesystem::path& path) {
  File file;
  MARU_TRY(metadata, file.open_part(path));
  file.metadata_ = std::move(metadata);
  if (auto others = file.open_other_parts(path); !others.ok()) {
    return about(path, std::move(others).error());
  }
  if (auto indexed = file.index_names(); !indexed.ok()) {
    return about(path, std::move(indexed).error());
  }
  return file;
}

const TensorView* File::find_tensor(std::string_view name) const {
  const auto name_of = [&](uint32_t i) { return tensors_[i].name; };
  const auto at = std::ranges::lower_bound(by_name_, name, {}, name_of);
  return at != by_name_.end() && name_of(*at) == name ? &tensors_[*at] : nullptr;
}

Result<TensorView> File::tensor(std::string_view name) const {
  if (const TensorView* found = find_tensor(name)) return *found;
  return Error::corrupt(fmt::format("the GGUF file has no tensor '{}'", shown(name)));
}

const MappedFile* File::mapping_of(std::span<const std::byte> bytes) const {
  const std::less_equal<const std::byte*> not_after;
  for (const MappedFile& mapping : mappings_) {
    const auto all = mapping.bytes();
    if (not_after(all.data(), bytes.data()) &&
        not_after(bytes.data() + bytes.size(), all.data() + all.size())) {
      return &mapping;
    }
  }
  return nullptr;
}

Result<void> File::read(const std::byte* from, std::span<std::byte> to) const {
  const MappedFile* mapping = mapping_of({from, to.size()});
  if (mapping != nullptr) {
    return mapping->read(static_cast<size_t>(from - mapping->bytes().data()), to);
  }
  std::copy_n(from, to.size(), to.data());
  return {};
}

void File::drop(const TensorView& tensor) const {
  const MappedFile* mapping = mapping_of(tensor.bytes);
  if (mapping == nullptr) return;
  mapping->drop(static_cast<size_t>(tensor.bytes.data() - mapping->bytes().data()),
                tensor.bytes.size());
}

}  // namespace maru::gguf
