// gguf/file.h - an open GGUF file: checked metadata, and tensors as views into the mapped file.
//
// Opened by the engine process (model/, engine/) and by `maru show` and `maru tokenize`. After
// open() succeeded, every name, value and tensor lies inside the file and no size can overflow;
// what the values mean is the caller's to check. Nothing here knows a model.
// Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3, little endian.
// Threads: immutable after open; any thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "gguf/metadata.h"
#include "tensor/dtype.h"

namespace maru::gguf {

inline constexpr size_t kTensorsMax = 65'536;
inline constexpr size_t kDimsMax = 4;
inline constexpr size_t kTensorNameBytesMax = 256;
inline constexpr size_t kAlignmentMax = 4096;
inline constexpr size_t kPartsMax = 1024;
inline constexpr size_t kAlignmentDefault = 32;

struct TensorView {
  std::string_view name;
  tensor::DType dtype = tensor::DType::kF32;
  // As stored (ggml's ne): dims[0] is the length of a row, fastest in memory; missing ones are 1.
  std::array<size_t, kDimsMax> dims = {1, 1, 1, 1};
  size_t n_dims = 0;
  std::span<const std::byte> bytes;  // exactly the tensor's bytes

  size_t n_cols() const { return dims[0]; }
  size_t n_rows() const { return dims[1] * dims[2] * dims[3]; }
  size_t n_elements() const { return n_cols() * n_rows(); }
  size_t row_bytes() const { return bytes.size() / n_rows(); }
};

class File {
 public:
  // Maps the file; only its header is read. A model split into parts (NAME-00001-of-00003.gguf) is
  // opened by its first part; the metadata is that of the first.
  // Errors: kNotFound, kIo; kCorrupt for what is no GGUF (says what it looks like), truncated
  // (bytes needed and found) or contradicts itself; kUnsupported for another version, big endian,
  // or a tensor type number that nobody defined (names tensor and number).
  static Result<File> open(const std::filesystem::path& path);
  // The same over bytes that outlive the File, without further parts: tests and fuzz loops.
  static Result<File> parse(std::span<const std::byte> bytes);

  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorView> tensors() const { return tensors_; }  // in file order
  // nullptr where there is none of that name.
  const TensorView* find_tensor(std::string_view name) const;
  // Errors: kCorrupt names the missing tensor.
  Result<TensorView> tensor(std::string_view name) const;

  // Copies a part of a tensor's bytes, from anywhere within them to their end, without making its
  // pages a part of this process. Requires: to.size() bytes of the tensor begin at `from`.
  // Errors: kIo, also where the file was cut since it was opened.
  Result<void> read(const std::byte* from, std::span<std::byte> to) const;

  // Tells the system that a tensor was copied and its pages need not stay in memory.
  void drop(const TensorView& tensor) const;

 private:
  File() = default;
  // These append to tensors_ (and mappings_).
  Result<Metadata> read_part(std::span<const std::byte> bytes);
  Result<Metadata> open_part(const std::filesystem::path& path);
  Result<void> open_other_parts(const std::filesystem::path& first);
  Result<void> index_names();
  // The part that holds these bytes; nullptr for parse().
  const MappedFile* mapping_of(std::span<const std::byte> bytes) const;

  std::vector<MappedFile> mappings_;  // one per part; none for parse()
  Metadata metadata_;
  std::vector<TensorView> tensors_;
  std::vector<uint32_t> by_name_;  // indexes of tensors_, sorted by name
};

}  // namespace maru::gguf
