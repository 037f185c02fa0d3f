#include "hub/hub_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/json.h"

namespace maru::hub {
namespace {

constexpr size_t kShownMax = 20;  // names in a message

struct Listed {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256 = {};
};

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string json_text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The models among a repository's files: no projectors, no importance matrices.
Result<std::vector<Listed>> read_siblings(const Json& info) {
  const auto siblings = info.find("siblings");
  if (siblings == info.end() || !siblings->is_array()) {
    return Error::corrupt("the hub's answer lists no files");
  }
  std::vector<Listed> files;
  for (const Json& sibling : *siblings) {
    if (!sibling.is_object()) continue;
    Listed file{.path = json_text(sibling, "rfilename")};
    if (!file.path.ends_with(".gguf")) continue;
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (name.find("mmproj") != name.npos || name.find("imatrix") != name.npos) continue;
    if (const auto size = sibling.find("size"); size != sibling.end()) {
      if (size->is_number_unsigned()) file.bytes = size->get<uint64_t>();
    }
    if (const auto lfs = sibling.find("lfs"); lfs != sibling.end() && lfs->is_object()) {
      file.sha256 = json_text(*lfs, "sha256");
      if (!is_sha256(file.sha256)) file.sha256.clear();
    }
    files.push_back(std::move(file));
  }
  std::ranges::sort(files, {}, &Listed::path);
  return files;
}

std::string licence_of(const Json& info) {
  if (const auto card = info.find("cardData"); card != info.end() && card->is_object()) {
    const std::string licence = json_text(*card, "license");
    const std::string name = json_text(*card, "license_name");
    if (licence == "other" && !name.empty()) return name;
    if (!licence.empty()) return licence;
  }
  if (const auto tags = info.find("tags"); tags != info.end() && tags->is_array()) {
    constexpr std::string_view kPrefix = "license:";
    for (const Json& tag : *tags) {
      if (!tag.is_string()) continue;
      const auto text = tag.get<std::string>();
      if (text.starts_with(kPrefix)) return text.substr(kPrefix.size());
    }
  }
  return {};
}

bool is_first_part(const Listed& file) {
  const auto parts = split_part_names(file.path);
  return parts.ok() && parts->front() == file.path;
}

// The file that a reference means: one file, or the first part of a split one.
Result<std::string> choose(const std::vector<Listed>& files, const HubReference& reference) {
  const std::string where = reference_text(HubReference{reference.repo, reference.revision});
  if (!reference.file.empty()) {
    MARU_TRY(parts, split_part_names(reference.file));
    return parts.front();
  }
  std::vector<std::string> candidates;
  std::vector<std::string> labels;
  for (const Listed& file : files) {
    if (!is_first_part(file)) continue;
    candidates.push_back(file.path);
    labels.push_back(quantization_of(file.path));
  }
  if (candidates.empty()) {
    return Error::not_found(
        fmt::format("{} has no GGUF file; look for a repository whose name ends in -GGUF", where));
  }
  const auto of_label = [&](const std::string& label) {
    std::vector<std::string> found;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (labels[i] == label) found.push_back(candidates[i]);
    }
    return found;
  };
  std::vector<std::string> chosen;
  if (!reference.quantization.empty()) {
    chosen = of_label(reference.quantization);
    if (chosen.empty()) chosen = of_label("UD-" + reference.quantization);
  } else if (candidates.size() == 1) {
    chosen = candidates;
  } else {
    for (const char* usual : {"Q4_K_M", "Q4_0", "Q8_0", "MXFP4", "F16", "BF16"}) {
      if (chosen.empty()) chosen = of_label(usual);
    }
  }
  if (chosen.size() == 1) return chosen.front();
  auto& shown = chosen.empty() ? labels : chosen;
  std::ranges::sort(shown);
  shown.erase(std::ranges::unique(shown).begin(), shown.end());
  shown.resize(std::min(shown.size(), kShownMax));
  return Error::not_found(fmt::format(
      "{} {}: {}; name one as {}{}", where,
      chosen.empty()
          ? (reference.quantization.empty() ? "has several quantizations"
                                            : "has no " + reference.quantization + "; it has")
          : "has several files of that quantization",
      fmt::join(shown, ", "), where, chosen.empty() ? ":QUANT" : "/FILE"));
}

// "Qwen/Qwen3-0.6B-GGUF" and Q8_0 -> "qwen3-0.6b:q8_0".
std::string name_of(const HubReference& reference, const std::string& file) {
  std::string base = reference.repo.substr(reference.repo.rfind('/') + 1);
  for (const std::string_view ending : {"-GGUF", "-gguf", "_GGUF", "_gguf", ".gguf"}) {
    if (base.ends_with(ending)) base.resize(base.size() - ending.size());
  }
  const std::string label = quantization_of(file);
  return label.empty() ? tidy_name(model_stem(file.substr(file.rfind('/') + 1)))
                       : tidy_name(base + ":" + label);
}

Error explain_status(const HttpResponse& response, const HubReference& reference,
                     const HubAccess& access) {
  const std::string what = reference_text(HubReference{reference.repo, reference.revision});
  if (response.status != 404) return status_error(response, what, !access.token.empty());
  if (response.header("x-error-code") == "RevisionNotFound") {
    return Error::not_found(
        fmt::format("hf.co/{} has no revision '{}'", reference.repo, reference.revision));
  }
  return Error::not_found(
      fmt::format("the hub has no repository '{}' (or it is private); look for models at "
                  "https://huggingface.co/models?library=gguf",
                  reference.repo));
}

}  // namespace

Result<RemoteModel> resolve_hub(const HubReference& reference, const HubAccess& access,
                                const FetchContext& context) {
  const Result<Url> endpoint = parse_url(access.endpoint);
  if (!endpoint.ok()) {
    return Error::invalid("the hub's address (HF_ENDPOINT): " + endpoint.error().message, "hub");
  }
  std::string base = endpoint->text;
  while (base.ends_with('/')) base.pop_back();
  const HttpRequest request = {
      .url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", base, reference.repo,
                         url_encode(reference.revision, false)),
      .headers = {{"Accept", "application/json"}},
      .bearer = access.token};
  MARU_TRY(answer, get_text_retrying(request, "hf.co/" + reference.repo, context));
  if (answer.response.status != 200) return explain_status(answer.response, reference, access);
  const Result<Json> info = parse_json(answer.body);
  if (!info.ok() || !info->is_object()) {
    return Error::corrupt(fmt::format("{} does not answer as the hub does: {}", endpoint->host,
                                      info.ok() ? "no JSON object" : info.error().message));
  }
  MARU_TRY(files, read_siblings(*info));
  MARU_TRY(chosen, choose(files, reference));
  MARU_TRY(parts, split_part_names(chosen));

  RemoteModel model;
  model.name = name_of(reference, chosen);
  model.revision = json_text(*info, "sha");
  if (model.revision.empty()) model.revision = reference.revision;
  HubReference source{.repo = reference.repo, .revision = reference.revision, .file = chosen};
  model.source = reference_text(source);
  model.quantization = quantization_of(chosen);
  model.licence = licence_of(*info);
  for (const std::string& path : parts) {
    const auto listed = std::ranges::find(files, path, &Listed::path);
    if (listed == files.end()) {
      std::vector<std::string> names;
      for (const Listed& file : files) {
        if (is_first_part(file) && names.size() < kShownMax) names.push_back(file.path);
      }
      return Error::not_found(fmt::format("hf.co/{} has no file '{}'; it has: {}", reference.repo,
                                          path, fmt::join(names, ", ")));
    }
    model.files.push_back(
        {.url = fmt::format("{}/{}/resolve/{}/{}", base, reference.repo,
                            url_encode(model.revision, false), url_encode(path, true)),
         .bearer = access.token,
         .name = fmt::format("hf.co/{}/{}", reference.repo, path),
         .bytes = listed->bytes,
         .sha256 = listed->sha256});
  }
  return model;
}

}  // namespace maru::hub
