#include "hub/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/utf8.h"
#include "hub/http.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReferenceBytesMax = 4096;
constexpr size_t kNameBytesMax = 200;
constexpr std::string_view kGguf = ".gguf";
constexpr size_t kPartEndingBytes = std::string_view("-00001-of-00003").size();

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

bool is_gguf(std::string_view name) { return lower(name).ends_with(kGguf); }

// One component of a path or name: no way out of its folder, nothing that a shell or a terminal
// would take for more.
bool is_plain(std::string_view text, std::string_view also = "") {
  if (text.empty() || text == "." || text == ".." || text.size() > kNameBytesMax) return false;
  return std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.' ||
           also.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_plain_path(std::string_view text, std::string_view also) {
  while (true) {
    const size_t slash = text.find('/');
    if (!is_plain(text.substr(0, slash), also)) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

Error bad_hub_reference(std::string_view text, std::string_view why) {
  return Error::invalid(
      fmt::format("'{}' {}; a model of the hub is hf.co/ORG/REPO:QUANT (such as "
                  "hf.co/Qwen/Qwen3-0.6B-GGUF:Q8_0) or hf.co/ORG/REPO/FILE.gguf, with @REVISION "
                  "after REPO where another than main is meant",
                  replace_invalid_utf8(text), why));
}

// Cuts "@rev" out of "REPO@rev/FILE", "REPO@rev:QUANT" or off the end.
std::optional<std::string> take_revision(std::string& rest) {
  const size_t at = rest.find('@');
  if (at == std::string::npos) return std::nullopt;
  // After REPO it ends at the file or the quantization; at the very end it may hold slashes.
  const bool after_repo = std::ranges::count(rest.substr(0, at), '/') == 1 &&
                          rest.substr(0, at).find(':') == std::string::npos;
  const size_t end = after_repo ? std::min(rest.find_first_of("/:", at), rest.size()) : rest.size();
  std::string revision = rest.substr(at + 1, end - at - 1);
  rest.erase(at, end - at);
  return revision;
}

// "ORG/REPO...", what follows the host.
Result<Reference> parse_hub(std::string_view whole, std::string rest) {
  HubReference hub;
  if (auto revision = take_revision(rest)) hub.revision = std::move(*revision);
  const size_t slash = rest.find('/');
  if (slash == std::string::npos) return bad_hub_reference(whole, "names no repository");
  const size_t end = std::min(rest.find_first_of("/:", slash + 1), rest.size());
  hub.repo = rest.substr(0, end);
  if (end < rest.size() && rest[end] == ':') {
    hub.quantization = upper(rest.substr(end + 1));
    if (hub.quantization == "LATEST")
      hub.quantization.clear();
    else if (!is_plain(hub.quantization))
      return bad_hub_reference(whole, "has an odd quantization");
  } else if (end + 1 < rest.size()) {
    hub.file = rest.substr(end + 1);
    // As the hub's pages write it: resolve/REV/FILE, blob/REV/FILE, tree/REV.
    for (const std::string_view word : {"resolve/", "blob/", "raw/", "tree/"}) {
      if (!hub.file.starts_with(word)) continue;
      const std::string in_page = hub.file.substr(word.size());
      const size_t cut = in_page.find('/');
      hub.revision = in_page.substr(0, cut);
      hub.file = cut == std::string::npos ? "" : in_page.substr(cut + 1);
      break;
    }
  }
  if (!is_plain_path(hub.repo, "")) return bad_hub_reference(whole, "has an odd repository name");
  if (!is_plain_path(hub.revision, "+")) return bad_hub_reference(whole, "has an odd revision");
  if (!hub.file.empty() && (!is_plain_path(hub.file, " +,()=[]") || !is_gguf(hub.file))) {
    return bad_hub_reference(whole, "names no .gguf file");
  }
  return Reference(std::move(hub));
}

Result<Reference> parse_web(std::string_view text) {
  const std::string_view bare = text.substr(0, text.find('?'));
  for (const std::string_view host : {"https://huggingface.co/", "https://hf.co/"}) {
    if (bare.starts_with(host)) return parse_hub(text, std::string(bare.substr(host.size())));
  }
  MARU_TRY(url, parse_url(text));
  return Reference(WebReference{url.text});
}

Result<Reference> parse_ollama(std::string_view text, std::string_view rest) {
  const size_t colon = rest.find(':');
  OllamaReference ollama{.name = std::string(rest.substr(0, colon))};
  if (colon != std::string_view::npos) ollama.tag = rest.substr(colon + 1);
  if (!is_plain_path(ollama.name, "") || !is_plain(ollama.tag)) {
    return Error::invalid(
        fmt::format("'{}' names no model of Ollama; one looks like ollama:llama3.2:3b",
                    replace_invalid_utf8(text)));
  }
  return Reference(std::move(ollama));
}

// "-00001-of-00003" at the end of a stem: the number of parts, or 0.
size_t n_parts_of(std::string_view stem) {
  if (stem.size() < kPartEndingBytes) return 0;
  const std::string_view ending = stem.substr(stem.size() - kPartEndingBytes);
  size_t number = 0;
  size_t count = 0;
  const auto read = [](std::string_view digits, size_t& value) {
    const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && at == digits.data() + digits.size();
  };
  const bool fits = ending[0] == '-' && ending.substr(6, 4) == "-of-" &&
                    read(ending.substr(1, 5), number) && read(ending.substr(10, 5), count);
  return fits && number >= 1 && number <= count ? count : 0;
}

bool is_quantization(std::string_view label) {
  if (label == "F16" || label == "F32" || label == "BF16") return true;
  if (label.starts_with("MXFP4")) return true;
  if (label.starts_with("IQ") || label.starts_with("TQ")) label.remove_prefix(1);
  return label.size() >= 2 && label[0] == 'Q' && std::isdigit(static_cast<unsigned char>(label[1]));
}

}  // namespace

Result<Reference> parse_reference(std::string_view text) {
  if (text.empty() || text.size() > kReferenceBytesMax || text.find('\0') != text.npos) {
    return Error::invalid("a model is named by its name, an address or the path of a GGUF file");
  }
  if (text.starts_with("https://") || text.starts_with("http://")) return parse_web(text);
  for (const std::string_view host : {"hf.co/", "huggingface.co/"}) {
    if (text.starts_with(host)) return parse_hub(text, std::string(text.substr(host.size())));
  }
  constexpr std::string_view kOllama = "ollama:";
  if (text.starts_with(kOllama)) return parse_ollama(text, text.substr(kOllama.size()));
  const bool is_path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
  const size_t n_slashes = static_cast<size_t>(std::ranges::count(text, '/'));
  std::error_code error;
  if (is_path || (is_gguf(text) && n_slashes < 2) || fs::is_regular_file(text, error)) {
    return Reference(PathReference{std::string(text)});
  }
  if (text.find("://") != text.npos) {
    return Error::invalid(fmt::format(
        "'{}' is no address that models are fetched from; accepted: https://, hf.co/...",
        replace_invalid_utf8(text)));
  }
  if (n_slashes > 0) return parse_hub(text, std::string(text));
  return Error::not_found(fmt::format("there is no model '{}'", replace_invalid_utf8(text)));
}

std::string reference_text(const Reference& reference) {
  if (const auto* hub = std::get_if<HubReference>(&reference)) {
    std::string text = "hf.co/" + hub->repo;
    if (hub->revision != "main") text += "@" + hub->revision;
    if (!hub->file.empty()) return text + "/" + hub->file;
    return hub->quantization.empty() ? text : text + ":" + hub->quantization;
  }
  if (const auto* web = std::get_if<WebReference>(&reference)) return web->url;
  if (const auto* path = std::get_if<PathReference>(&reference)) return path->path.string();
  const auto& ollama = std::get<OllamaReference>(reference);
  return fmt::format("ollama:{}:{}", ollama.name, ollama.tag);
}

std::string model_stem(std::string_view file_name) {
  if (is_gguf(file_name)) file_name.remove_suffix(kGguf.size());
  if (n_parts_of(file_name) > 0) file_name.remove_suffix(kPartEndingBytes);
  return std::string(file_name);
}

std::string quantization_of(std::string_view file_name) {
  const std::string stem = upper(model_stem(file_name.substr(file_name.rfind('/') + 1)));
  // The last word that is one: "-" or "." stands before it ("_" belongs to its name).
  for (size_t end = stem.size(); end != 0 && end != std::string::npos;) {
    const size_t cut = stem.find_last_of("-.", end - 1);
    const size_t begin = cut == std::string::npos ? 0 : cut + 1;
    const std::string word = stem.substr(begin, end - begin);
    if (is_quantization(word)) {
      return stem.substr(0, begin).ends_with("-UD-") ? "UD-" + word : word;
    }
    end = cut;
  }
  return {};
}

Result<std::vector<std::string>> split_part_names(const std::string& file_name) {
  const std::string stem = file_name.substr(0, file_name.size() - kGguf.size());
  const size_t n_parts = is_gguf(file_name) ? n_parts_of(stem) : 0;
  if (n_parts == 0) return std::vector<std::string>{file_name};
  if (n_parts > kSplitPartsMax) {
    return Error::invalid(fmt::format("'{}' is split into {} parts, more than the limit of {}",
                                      file_name, n_parts, kSplitPartsMax));
  }
  std::vector<std::string> names;
  for (size_t i = 1; i <= n_parts; ++i) {
    names.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", model_stem(file_name), i, n_parts));
  }
  return names;
}

std::string tidy_name(std::string_view text) {
  std::string name = lower(text);
  for (char& c : name) {
    if (!is_plain({&c, 1}, ":") && c != '.') c = '-';
  }
  const size_t first = name.find_first_not_of(".-");
  name = first == std::string::npos ? "model" : name.substr(first);
  return name.substr(0, kNameBytesMax);
}

Result<void> check_name(std::string_view name) {
  if (is_plain(name, ":") && tidy_name(name) == name) return {};
  return Error::invalid(
      fmt::format("'{}' cannot be the name of a model: lower-case letters, digits and '.-_:' make "
                  "one, at most {} of them, such as my-model:8b",
                  replace_invalid_utf8(name), kNameBytesMax));
}

}  // namespace maru::hub
