#include "base/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/files.h"

namespace maru {
namespace {
constexpr size_t kPieceBytes = 1 << 20;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CHECK(context_ != nullptr);
  CHECK(EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned n = 0;
  CHECK(EVP_DigestFinal_ex(context_, digest.data(), &n) == 1);
  return {digest.begin(), digest.begin() + n};
}

std::string Sha256::hex() {
  std::string text;
  for (const char byte : digest()) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

Result<void> Sha256::update_from_file(const std::filesystem::path& path, uint64_t n_bytes,
                                      const std::function<bool(uint64_t)>& on_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                 fmt::format("cannot open '{}': {}", path.string(), std::strerror(errno)),
                 {}};
  }
  std::vector<std::byte> piece(kPieceBytes);
  Result<void> outcome;
  for (uint64_t done = 0; done < n_bytes;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(kPieceBytes, n_bytes - done));
    const ssize_t n = read_at(fd, done, std::span(piece).first(want));
    if (n < 0) {
      outcome = Error::io(fmt::format("cannot read '{}': {}", path.string(), std::strerror(errno)));
      break;
    }
    if (n == 0) {
      outcome = Error::corrupt(fmt::format(
          "'{}' ends at byte {}, before the {} that it should have", path.string(), done, n_bytes));
      break;
    }
    update(std::span(piece).first(static_cast<size_t>(n)));
    done += static_cast<uint64_t>(n);
    if (on_bytes && !on_bytes(done)) {
      outcome = Error{ErrorCode::kCancelled, "stopped", {}};
      break;
    }
  }
  ::close(fd);
  return outcome;
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

Result<std::string> sha256_hex_of_file(const std::filesystem::path& path) {
  std::error_code error;
  const uint64_t n_bytes = std::filesystem::file_size(path, error);
  if (error) {
    const bool is_missing = error == std::errc::no_such_file_or_directory;
    return Error{is_missing ? ErrorCode::kNotFound : ErrorCode::kIo,
                 fmt::format("cannot look at '{}': {}", path.string(), error.message()),
                 {}};
  }
  Sha256 hash;
  MARU_TRY_VOID(hash.update_from_file(path, n_bytes, {}));
  return hash.hex();
}

}  // namespace maru
