// base/files.h - reading, mapping and atomically writing files, with the system's own words in
// errors.
//
// Threads: free functions are safe from any thread; a MappedFile may be read from any thread.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maru {

// A whole file, read-only, mapped into memory. The bytes live as long as the object.
// A file that is cut while mapped raises SIGBUS on access: only the engine process maps models, so
// that costs one engine and not the service.
class MappedFile {
 public:
  // Errors: kNotFound, kIo (permission, not a regular file), each naming the path.
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  // The same bytes by a read call: takes no memory but `to`, and a file that was cut is an error.
  // Requires: the range lies within bytes(). Errors: kIo.
  Result<void> read(size_t offset, std::span<std::byte> to) const;
  // Tells the system that this range has been copied and need not stay in memory.
  void drop(size_t offset, size_t n_bytes) const;

 private:
  MappedFile(int fd, std::span<const std::byte> bytes) : fd_(fd), bytes_(bytes) {}
  int fd_;
  std::span<const std::byte> bytes_;
};

// Fills `to` from a place in an open file; the bytes read are fewer only where the file ends.
// -1 and errno on an error.
ssize_t read_at(int fd, uint64_t offset, std::span<std::byte> to);

// Errors: kNotFound; kIo; kResourceExhausted above n_bytes_max.
Result<std::string> read_file(const std::filesystem::path& path, size_t n_bytes_max);

// Writes a temporary file beside the target, syncs it, and renames it over the target: after a
// crash there is the old file or the new one, whole.
// Errors: kIo (a full disk among them).
Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content);

}  // namespace maru
