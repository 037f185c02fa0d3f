#include "app/kv_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "base/sha256.h"

namespace maru::app {
namespace {

constexpr size_t kSecretBytes = 32;

Error system_error(const std::string& what, const std::filesystem::path& path) {
  return Error::io(fmt::format("cannot {} '{}': {}", what, path.string(), std::strerror(errno)));
}

// Made on first use. One of another length is no secret: then a new one is made.
Result<std::string> master_secret(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return system_error("open", path);
  std::string secret(kSecretBytes + 1, '\0');
  ::flock(fd, LOCK_EX);  // two processes make one secret
  const ssize_t n = ::pread(fd, secret.data(), secret.size(), 0);
  secret.resize(kSecretBytes);
  bool ok = n == static_cast<ssize_t>(kSecretBytes);
  if (!ok) {
    ok = ::getrandom(secret.data(), kSecretBytes, 0) == static_cast<ssize_t>(kSecretBytes) &&
         ::ftruncate(fd, 0) == 0 &&
         ::pwrite(fd, secret.data(), kSecretBytes, 0) == static_cast<ssize_t>(kSecretBytes) &&
         ::fsync(fd) == 0;
  }
  const Error error = system_error("write", path);
  ::close(fd);
  if (!ok) return error;
  return secret;
}

// What a file is without reading all of it: another one, or a changed one, has another.
Result<std::string> identity(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return system_error("look at", path);
  return fmt::format("{}:{}:{}:{}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

}  // namespace

std::filesystem::path KvFile::path_for(const std::filesystem::path& home,
                                       const std::filesystem::path& model) {
  return home / "kv" / (model.stem().string() + ".kv");
}

KvFile::KvFile(KvFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), secret_(std::move(other.secret_)) {}

KvFile::~KvFile() {
  if (fd_ >= 0) ::close(fd_);
}

uint64_t KvFile::bytes_max(uint64_t wanted) const {
  struct stat info{};
  struct statvfs disk{};
  if (::fstat(fd_, &info) != 0 || ::fstatvfs(fd_, &disk) != 0) return 0;
  const uint64_t n_free = uint64_t{disk.f_bavail} * disk.f_frsize;
  const uint64_t n_own = static_cast<uint64_t>(info.st_blocks) * 512;
  return std::min(wanted, n_own + n_free - std::min(n_own + n_free, kDiskLeftMin));
}

Result<KvFile> KvFile::open(const std::filesystem::path& home, const std::filesystem::path& model,
                            size_t n_ctx) {
  const std::filesystem::path folder = home / "kv";
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return system_error("make", folder);
  MARU_TRY(master, master_secret(folder / "secret"));
  MARU_TRY(model_identity, identity(model));
  MARU_TRY(program_identity, identity("/proc/self/exe"));
  const std::filesystem::path path = path_for(home, model);
  KvFile file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd_ < 0) return system_error("open", path);
  if (::flock(file.fd_, LOCK_EX | LOCK_NB) != 0) {
    return Error::unavailable(fmt::format("'{}' is in use by another server", path.string()));
  }
  Sha256 hash;
  const std::string text = master + fmt::format("maru kv 1\n{}\n{}\n{}\n{}\n", MARU_VERSION,
                                                program_identity, model_identity, n_ctx);
  hash.update(std::as_bytes(std::span(text)));
  file.secret_ = hash.digest();
  return file;
}

}  // namespace maru::app
