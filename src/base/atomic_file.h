// base/atomic_file.h - a file that appears under its name whole or not at all.
//
// For what is too large for write_file_atomic() of base/files.h, which uses it.
// Threads: none; an AtomicFile belongs to one owner.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

#include "base/result.h"

namespace maru {

// A file that is written piece by piece under a temporary name beside its target. Without commit()
// nothing is left of it.
class AtomicFile {
 public:
  // Errors: kIo.
  static Result<AtomicFile> create(const std::filesystem::path& target);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Errors: kIo (a full disk among them).
  Result<void> write(std::span<const std::byte> bytes);
  enum class Existing { kReplace, kKeep };
  // Syncs the file and gives it the target's name: after a crash there is the old file or the new
  // one, whole. Errors: kIo; kInvalidArgument where there is a file of that name and it is kept.
  Result<void> commit(Existing existing);

 private:
  AtomicFile(int fd, std::filesystem::path target, std::filesystem::path temporary)
      : fd_(fd), target_(std::move(target)), temporary_(std::move(temporary)) {}

  int fd_;  // -1 once committed or moved from
  std::filesystem::path target_;
  std::filesystem::path temporary_;
};

}  // namespace maru
