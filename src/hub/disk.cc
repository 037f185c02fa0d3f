#include "hub/disk.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace maru::hub {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Error cancelled() {
  return {ErrorCode::kCancelled, "stopped; pulling again goes on from here", {}};
}

Error write_error(const std::filesystem::path& path) {
  const int code = errno;
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    return Error::exhausted(fmt::format(
        "no room to write '{}' ({}): free some space and pull again; what is already there is kept",
        path.string(), std::strerror(code)));
  }
  return Error::io(fmt::format("cannot write '{}': {}", path.string(), std::strerror(code)));
}

Result<void> check_free_space(const std::filesystem::path& folder, uint64_t n_bytes,
                              std::string_view model_name) {
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0) return write_error(folder);
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free >= n_bytes) return {};
  return Error::exhausted(fmt::format(
      "{} needs {} MB free in '{}' and there are {} MB: free some space, or set MARU_HOME to a "
      "folder on a larger disk",
      model_name, n_bytes / 1'000'000 + 1, folder.string(), free / 1'000'000));
}

}  // namespace maru::hub
