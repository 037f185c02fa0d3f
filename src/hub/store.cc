#include "hub/store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <system_error>

#include "base/files.h"
#include "base/json.h"
#include "base/utf8.h"
#include "hub/catalogue.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr int kHomeVersion = 1;
constexpr size_t kSidecarBytesMax = 64 * 1024;
constexpr size_t kFilesMax = 10'000;  // looked at in one folder
constexpr size_t kNameBytesMax = 200;

// Levenshtein distance. Requires: both at most kNameBytesMax bytes.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];  // distance of a[0..i-1) and b[0..j-1)
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string json_string(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

fs::path sidecar_path(const fs::path& model_path) {
  return model_path.parent_path() / (model_stem(model_path.filename().string()) + ".json");
}

// A file that is not split, or the first part of one that is.
bool is_first_part(const std::string& file_name) {
  const auto parts = split_part_names(file_name);
  return parts.ok() && parts->front() == file_name;
}

// Adds what the catalogue and the JSON beside the file know.
void read_sidecar(StoredModel& model) {
  const CatalogueEntry* entry = find_in_catalogue(model.name);
  if (entry != nullptr && file_stem(entry->name) == model.name) {
    model.name = entry->name;
    if (model.quantization.empty() && model.bytes == entry->bytes) {
      model.quantization = entry->quantization;
    }
  }
  const Result<std::string> text = read_file(sidecar_path(model.path), kSidecarBytesMax);
  if (!text.ok()) return;
  const Result<Json> json = parse_json(*text);
  if (!json.ok() || !json->is_object()) return;
  const std::string name = json_string(*json, "name");
  if (file_stem(name) == model_stem(model.path.filename().string())) model.name = name;
  model.source = json_string(*json, "source");
  model.revision = json_string(*json, "revision");
  model.checked = json_string(*json, "checked");
  model.licence = json_string(*json, "licence");
  const std::string quantization = json_string(*json, "quantization");
  if (!quantization.empty()) model.quantization = quantization;
  if (const auto sha256 = json->find("sha256"); sha256 != json->end()) {
    // One text, or a list where the model is split.
    const Json list = sha256->is_array() ? *sha256 : Json::array({*sha256});
    for (const Json& hex : list) {
      if (hex.is_string() && !hex.get<std::string>().empty()) model.sha256.push_back(hex);
    }
  }
  // Written before sidecars said what vouched: only the catalogue did.
  const bool is_entry = entry != nullptr && model.sha256 == std::vector{entry->sha256};
  if (model.checked.empty() && is_entry) model.checked = "catalogue";
  if (const auto at = json->find("pulled_at"); at != json->end() && at->is_number_integer()) {
    model.pulled_at = at->get<int64_t>();
  }
}

// Whether a stored model that came from `source` is one that `wanted` names.
bool names_source(const Reference& wanted, const std::string& source) {
  const auto* hub = std::get_if<HubReference>(&wanted);
  if (hub == nullptr || !hub->file.empty()) return reference_text(wanted) == source;
  const Result<Reference> parsed = parse_reference(source);
  const auto* stored = parsed.ok() ? std::get_if<HubReference>(&*parsed) : nullptr;
  if (stored == nullptr || stored->repo != hub->repo || stored->revision != hub->revision) {
    return false;
  }
  const std::string label = quantization_of(stored->file);
  return hub->quantization.empty() || label == hub->quantization ||
         label == "UD-" + hub->quantization;
}

Result<void> check_version(const fs::path& home) {
  const fs::path path = home / "version";
  Result<std::string> text = read_file(path, kSidecarBytesMax);
  if (!text.ok()) {
    if (text.error().code != ErrorCode::kNotFound) return text.error();
    return write_file_atomic(path, fmt::format("{}\n", kHomeVersion));
  }
  const int version = std::atoi(text->c_str());
  if (version > kHomeVersion) {
    return Error::unsupported(
        fmt::format("'{}' was written by a newer Maru (data version {}; this one knows {}): use "
                    "that one, or another MARU_HOME",
                    home.string(), version, kHomeVersion));
  }
  return {};
}

}  // namespace

const CatalogueEntry* catalogue_entry_of(const StoredModel& model) {
  const CatalogueEntry* entry = find_in_catalogue(model.name);
  if (entry == nullptr) return nullptr;
  // Of an entry without a hash the size is only about right.
  const bool same = entry->sha256.empty() ? model.source.starts_with(entry->upstream + "/")
                                          : model.bytes == entry->bytes;
  return same ? entry : nullptr;
}

std::string file_stem(std::string_view name) {
  std::string stem(name);
  std::ranges::replace(stem, ':', '-');
  return stem;
}

std::vector<std::string> nearest_names(std::string_view wanted,
                                       const std::vector<std::string>& candidates, size_t n) {
  wanted = wanted.substr(0, kNameBytesMax);
  std::vector<std::pair<size_t, std::string>> scored;
  for (const std::string& candidate : candidates) {
    const std::string_view shown = std::string_view(candidate).substr(0, kNameBytesMax);
    // People leave out the size: "smolm2" is as near to "smollm2:135m" as to "smollm2", less one.
    const size_t distance_without_size =
        edit_distance(wanted, shown.substr(0, shown.find(':'))) + 1;
    size_t distance = std::min(edit_distance(wanted, shown), distance_without_size);
    const bool contained = !wanted.empty() && shown.find(wanted) != std::string_view::npos;
    if (contained) distance = std::min<size_t>(distance, 1);
    if (distance <= std::max<size_t>(2, wanted.size() / 2))
      scored.emplace_back(distance, candidate);
  }
  std::ranges::sort(scored);
  std::vector<std::string> names;
  for (auto& [distance, name] : scored) {
    if (names.size() == n) break;
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

Result<Store> Store::open(const fs::path& home) {
  Store store(home);
  for (const fs::path& folder : {home, home / "models", home / "downloads"}) {
    std::error_code error;
    if (fs::is_directory(folder, error)) continue;
    fs::create_directories(folder, error);
    if (error) {
      return Error::io(
          fmt::format("cannot make the folder '{}': {}; set MARU_HOME to one that can "
                      "be written",
                      folder.string(), error.message()));
    }
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  MARU_TRY_VOID(check_version(home));
  return store;
}

fs::path Store::model_path(std::string_view name) const {
  return home_ / "models" / (file_stem(name) + ".gguf");
}

fs::path Store::locate(std::string_view name) const {
  const std::string stem = file_stem(name);
  const fs::path whole = model_path(name);
  std::error_code error;
  if (fs::symlink_status(whole, error).type() != fs::file_type::not_found) return whole;
  fs::directory_iterator files(home_ / "models", error);
  for (size_t n = 0; !error && files != fs::directory_iterator() && n < kFilesMax; ++n) {
    const std::string file = files->path().filename().string();
    if (model_stem(file) == stem && is_first_part(file)) return files->path();
    files.increment(error);
  }
  return whole;
}

Result<StoredModel> Store::inspect(const fs::path& path) const {
  StoredModel model;
  std::error_code error;
  if (fs::is_symlink(path, error)) model.link_target = fs::read_symlink(path, error).string();
  model.path = path;
  model.name = replace_invalid_utf8(model_stem(path.filename().string()));
  MARU_TRY(parts, split_part_names(path.filename().string()));
  for (const std::string& part : parts) {
    model.parts.push_back(path.parent_path() / part);
    struct stat info{};
    if (::stat(model.parts.back().c_str(), &info) != 0) {
      if (errno == ENOENT && !model.link_target.empty()) {
        return Error::io(
            fmt::format("'{}' is a link to '{}', which is gone; `maru rm {}` removes the link",
                        path.string(), model.link_target, model.name));
      }
      return Error{
          errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
          fmt::format("cannot open '{}': {}", model.parts.back().string(), std::strerror(errno)),
          {}};
    }
    if (!S_ISREG(info.st_mode)) {
      return Error::invalid(
          fmt::format("'{}' is not a file; a GGUF file is wanted", path.string()));
    }
    model.bytes += static_cast<uint64_t>(info.st_size);
    model.modified_at = info.st_mtime;
  }
  model.quantization = quantization_of(path.filename().string());
  if (path.parent_path() == home_ / "models") read_sidecar(model);
  return model;
}

Result<std::vector<StoredModel>> Store::list() const {
  std::vector<StoredModel> models;
  std::error_code error;
  fs::directory_iterator files(home_ / "models", error);
  for (size_t n = 0; !error && files != fs::directory_iterator() && n < kFilesMax; ++n) {
    const fs::path path = files->path();
    if (path.extension() == ".gguf" && is_first_part(path.filename().string())) {
      // A file that went away or is no file meanwhile is no model; that is not an error of listing.
      if (Result<StoredModel> model = inspect(path); model.ok()) {
        models.push_back(std::move(model).value());
      }
    }
    files.increment(error);
  }
  if (error) {
    return Error::io(
        fmt::format("cannot list '{}': {}", (home_ / "models").string(), error.message()));
  }
  std::ranges::sort(models, {}, &StoredModel::name);
  return models;
}

Error Store::not_found(std::string_view name) const {
  std::vector<std::string> candidates;
  if (const auto models = list(); models.ok()) {
    for (const StoredModel& model : *models) candidates.push_back(model.name);
  }
  for (const CatalogueEntry& entry : catalogue()) candidates.push_back(entry.name);
  std::string message = fmt::format("there is no model '{}' here", replace_invalid_utf8(name));
  const std::vector<std::string> nearest = nearest_names(name, candidates, 3);
  message += nearest.empty() ? "." : fmt::format("; did you mean {}?", fmt::join(nearest, " or "));
  message += " `maru list --available` shows what `maru pull NAME` can fetch";
  return Error::not_found(std::move(message));
}

Result<StoredModel> Store::find_by_source(const Reference& wanted) const {
  MARU_TRY(models, list());
  for (StoredModel& model : models) {
    if (!model.source.empty() && names_source(wanted, model.source)) return std::move(model);
  }
  const std::string text = reference_text(wanted);
  return Error::not_found(
      fmt::format("{} is not on this machine yet; `maru pull {}` fetches it", text, text));
}

Result<StoredModel> Store::find(std::string_view name_or_path) const {
  if (name_or_path.empty() || name_or_path.find('\0') != std::string_view::npos) {
    return Error::invalid("a model is named by its name or the path of a GGUF file");
  }
  if (name_or_path.size() > kNameBytesMax) return inspect(fs::path(name_or_path));
  const Result<Reference> reference = parse_reference(name_or_path);
  if (reference.ok() && std::holds_alternative<PathReference>(*reference)) {
    return inspect(std::get<PathReference>(*reference).path);
  }
  // A folder that is there is no repository of the hub.
  std::error_code error;
  if (name_or_path.find('/') != name_or_path.npos && fs::exists(name_or_path, error)) {
    return inspect(fs::path(name_or_path));
  }
  if (reference.ok()) return find_by_source(*reference);
  if (reference.error().code != ErrorCode::kNotFound) return reference.error();

  const CatalogueEntry* entry = find_in_catalogue(name_or_path);
  for (const std::string& name : {std::string(name_or_path), tidy_name(name_or_path),
                                  entry ? entry->name : std::string(name_or_path)}) {
    Result<StoredModel> model = inspect(locate(name));
    if (model.ok() || model.error().code != ErrorCode::kNotFound) return model;
  }
  if (entry) {
    return Error::not_found(
        fmt::format("the model {} is not on this machine yet; `maru pull {}` "
                    "fetches it ({} MB, {})",
                    entry->name, entry->name, entry->bytes / 1'000'000, entry->licence));
  }
  return not_found(name_or_path);
}

Result<void> Store::describe(const StoredModel& model) const {
  const Json sha256 = model.sha256.size() == 1 ? Json(model.sha256.front()) : Json(model.sha256);
  const Json json = {{"name", model.name},          {"source", model.source},
                     {"revision", model.revision},  {"sha256", sha256},
                     {"checked", model.checked},    {"licence", model.licence},
                     {"bytes", model.bytes},        {"quantization", model.quantization},
                     {"pulled_at", model.pulled_at}};
  return write_file_atomic(sidecar_path(model_path(model.name)), dump_json(json) + "\n");
}

Result<StoredModel> Store::remove(std::string_view name) const {
  Result<StoredModel> found = find(name);
  if (!found.ok()) {
    // A link whose file is gone, or a split model that lacks a part: there is still what to delete.
    const fs::path path = locate(name);
    std::error_code error;
    if (name.find('/') != name.npos || !fs::exists(fs::symlink_status(path, error))) return found;
    MARU_TRY(parts, split_part_names(path.filename().string()));
    found = StoredModel();
    found->name = model_stem(path.filename().string());
    found->path = path;
    for (const std::string& part : parts) found->parts.push_back(path.parent_path() / part);
  }
  const StoredModel& model = *found;
  if (model.path.parent_path() != home_ / "models") {
    return Error::invalid(
        fmt::format("'{}' is not in the store at '{}'; Maru deletes only what it keeps there",
                    model.path.string(), home_.string()));
  }
  for (const fs::path& part : model.parts) {
    std::error_code error;
    fs::remove(part, error);
    if (error) {
      return Error::io(fmt::format("cannot delete '{}': {}", part.string(), error.message()));
    }
  }
  std::error_code ignored;
  fs::remove(sidecar_path(model.path), ignored);
  return found;
}

}  // namespace maru::hub
