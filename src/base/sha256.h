// base/sha256.h - SHA-256 of files and streams (OpenSSL's libcrypto).
//
// hub/ uses it to trust downloads, serve/ to say which model gave an answer. Threads: one Sha256
// belongs to one thread. Source: FIPS 180-4.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace maru {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  // 32 bytes, or 64 lower-case hex digits. Requires: one is called, once; nothing is added after
  // it.
  std::string digest();
  std::string hex();

  // Adds the first n_bytes of a file, read in pieces; on_bytes (may be empty) is told the count so
  // far and stops the work by returning false.
  // Errors: kNotFound, kIo; kCorrupt where the file is shorter; kCancelled.
  Result<void> update_from_file(const std::filesystem::path& path, uint64_t n_bytes,
                                const std::function<bool(uint64_t)>& on_bytes);

 private:
  evp_md_ctx_st* context_;
};

// 64 lower-case hex digits.
std::string sha256_hex(std::string_view text);
// The same of a whole file. Errors: kNotFound, kIo; kCorrupt where it shrinks meanwhile.
Result<std::string> sha256_hex_of_file(const std::filesystem::path& path);

}  // namespace maru
