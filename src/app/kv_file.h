// app/kv_file.h - the file in which the conversations of one model outlive its engine.
//
// HOME/kv/<stem>.kv, readable by its owner alone; the engine writes and reads it through a
// descriptor (engine/disk_cache.h). Its secret comes from HOME/kv/secret and from everything that
// the bits of a block depend on: the model's file, this build, the context. Where one of these
// changes, the secret does, and the file is begun anew. Threads: any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace maru::app {

inline constexpr uint64_t kDiskLeftMin = uint64_t{1} << 30;

// Closes its descriptor.
class KvFile {
 public:
  // Makes what is missing. Errors: kIo; kUnavailable where another process has the file open.
  static Result<KvFile> open(const std::filesystem::path& home, const std::filesystem::path& model,
                             size_t n_ctx);
  // Where such a file is for a model.
  static std::filesystem::path path_for(const std::filesystem::path& home,
                                        const std::filesystem::path& model);
  KvFile(KvFile&& other) noexcept;
  KvFile& operator=(KvFile&&) = delete;
  ~KvFile();

  int fd() const { return fd_; }
  const std::string& secret() const { return secret_; }  // 32 bytes
  // How large it may become: `wanted`, but kDiskLeftMin of the disk stays free.
  uint64_t bytes_max(uint64_t wanted) const;

 private:
  explicit KvFile(int fd) : fd_(fd) {}

  int fd_;
  std::string secret_;
};

}  // namespace maru::app
