#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/atomic_file.h"

namespace maru {
namespace {

Error system_error(std::string_view what, const std::filesystem::path& path) {
  const int code = errno;
  std::string message = fmt::format("cannot {} '{}': {}", what, path.string(), std::strerror(code));
  return {code == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, std::move(message), {}};
}

// Closes a descriptor when its scope ends.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return system_error("open", path);
  struct stat info{};
  if (::fstat(file.fd, &info) != 0) return system_error("read", path);
  if (!S_ISREG(info.st_mode)) {
    return Error::io(fmt::format("'{}' is not a regular file", path.string()));
  }
  const auto n_bytes = static_cast<size_t>(info.st_size);
  if (n_bytes == 0) return MappedFile(std::exchange(file.fd, -1), {});
  void* data = ::mmap(nullptr, n_bytes, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) return system_error("map", path);
  return MappedFile(std::exchange(file.fd, -1), {static_cast<const std::byte*>(data), n_bytes});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  if (fd_ >= 0) ::close(fd_);
}

Result<void> MappedFile::read(size_t offset, std::span<std::byte> to) const {
  CHECK(offset <= bytes_.size() && to.size() <= bytes_.size() - offset);
  const ssize_t n = read_at(fd_, offset, to);
  if (n < 0) return Error::io(fmt::format("cannot read a file: {}", std::strerror(errno)));
  if (static_cast<size_t>(n) == to.size()) return {};
  return Error::io(fmt::format("cannot read a file: it ends at byte {} and had {} when opened",
                               offset + static_cast<size_t>(n), bytes_.size()));
}

void MappedFile::drop(size_t offset, size_t n_bytes) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = std::min(offset + n_bytes, bytes_.size()) / page * page;
  if (begin >= end) return;
  ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

ssize_t read_at(int fd, uint64_t offset, std::span<std::byte> to) {
  size_t n_read = 0;
  while (n_read < to.size()) {
    const ssize_t n =
        ::pread(fd, to.data() + n_read, to.size() - n_read, static_cast<off_t>(offset + n_read));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    n_read += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(n_read);
}

Result<std::string> read_file(const std::filesystem::path& path, size_t n_bytes_max) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return system_error("open", path);
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error("read", path);
    }
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > n_bytes_max) {
      return Error::exhausted(
          fmt::format("'{}' is larger than the limit of {} bytes", path.string(), n_bytes_max));
    }
    content.append(buffer, static_cast<size_t>(n));
  }
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& target) {
  std::filesystem::path temporary = target.string() + fmt::format(".tmp.{}", ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return system_error("create", temporary);
  return AtomicFile(fd, target, std::move(temporary));
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error("write", temporary_);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<void> AtomicFile::commit(Existing existing) {
  if (::fsync(fd_) != 0) return system_error("sync", temporary_);
  int renamed = -1;
  if (existing == Existing::kReplace) {
    renamed = ::rename(temporary_.c_str(), target_.c_str());
  } else {
    renamed =
        ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
    // Some file systems do not know the flag.
    if (renamed != 0 && errno == EINVAL && ::access(target_.c_str(), F_OK) != 0) {
      renamed = ::rename(temporary_.c_str(), target_.c_str());
    }
  }
  if (renamed != 0 && existing == Existing::kKeep && ::access(target_.c_str(), F_OK) == 0) {
    return Error::invalid(fmt::format("'{}' exists; nothing was replaced", target_.string()));
  }
  if (renamed != 0) return system_error("rename", temporary_);
  ::close(std::exchange(fd_, -1));
  // The rename itself lives in the folder: sync that too.
  const Descriptor folder{
      ::open(target_.parent_path().empty() ? "." : target_.parent_path().c_str(),
             O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.fd >= 0 && ::fsync(folder.fd) != 0) return system_error("sync", target_);
  return {};
}

Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  MARU_TRY(file, AtomicFile::create(path));
  MARU_TRY_VOID(file.write(std::as_bytes(std::span(content))));
  return file.commit(AtomicFile::Existing::kReplace);
}

}  // namespace maru
