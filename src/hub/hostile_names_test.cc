// Names that mean harm (the shape of Ollama's CVE-2024-37032 and CVE-2025-44779): whatever a model
// is called, nothing outside the store is deleted.
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/rng.h"
#include "hub/store.h"
#include "hub/test_wheels.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

TEST(HostileNames, NothingOutsideTheStoreIsDeleted) {
  const TestFolder folder;
  const fs::path home = folder.path() / "home";
  const Store store = *Store::open(home);
  const std::vector<fs::path> foreign = {folder.path() / "foreign.gguf", home / "foreign.gguf",
                                         home / "downloads" / "foreign.gguf",
                                         home / "models" / "deeper" / "foreign.gguf"};
  fs::create_directory(home / "models" / "deeper");
  for (const fs::path& path : foreign) ASSERT_TRUE(write_file_atomic(path, "GGUF").ok());
  fs::create_symlink(folder.path() / "foreign.gguf", home / "models" / "link.gguf");

  const std::vector<std::string> parts = {
      "..",      "/",     ".",    "foreign",   ".gguf", "models",
      "deeper",  "\\",    "~",    "downloads", ":",     "%2e%2e%2f",
      home,      "//",    "link", "../",       " ",     std::string(1, '\0'),
      "foreign", ".json", "*",    "file://",   "\n",    folder.path()};
  size_t n_removed = 0;
  for (uint64_t seed = 1; seed <= 10'000; ++seed) {
    Rng rng(seed);
    std::string name;
    for (uint64_t n = 1 + rng.below(7); n > 0; --n) name += parts[rng.below(parts.size())];
    const auto removed = store.remove(name);
    if (!removed.ok()) continue;
    ++n_removed;  // the link itself, not what it points to
    ASSERT_EQ(removed->path.parent_path(), home / "models") << "seed " << seed;
  }
  EXPECT_LE(n_removed, 1u);
  for (const fs::path& path : foreign) EXPECT_TRUE(fs::exists(path)) << path;
}

}  // namespace
}  // namespace maru::hub
