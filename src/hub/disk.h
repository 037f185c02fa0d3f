// hub/disk.h - what the fetching of models shares of talking to the disk, and who may stop it.
//
// download.cc, package_fetch.cc and pull.cc use it. Threads: free functions; any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace maru::hub {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What stopping gives everywhere.
Error cancelled();
// Of a failed call on `path`, from errno: says where the disk is full, and what to do.
Error write_error(const std::filesystem::path& path);
// Errors: kResourceExhausted where the disk of `folder` has less than n_bytes free.
Result<void> check_free_space(const std::filesystem::path& folder, uint64_t n_bytes,
                              std::string_view model_name);

}  // namespace maru::hub
