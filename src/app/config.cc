#include "app/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/files.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace maru::app {
namespace {

constexpr size_t kFileBytesMax = 64 * 1024;
constexpr size_t kThreadsMax = 1024;
constexpr size_t kContextMax = 16 * 1024 * 1024;
constexpr size_t kKvDiskMax = 1024 * 1024;  // MiB
constexpr size_t kMemoryMax = 1 << 30;      // MiB
constexpr size_t kPinMax = 64;
constexpr int64_t kKeepAliveMax = 365 * 24 * 3600;
constexpr std::array<const char*, 4> kLogLevels = {"debug", "info", "warning", "error"};

// Sets a field from its text; gives what would be accepted where the text is not.
using Setter = const char* (*)(Config&, const std::string&);

struct Setting {
  const char* key;
  const char* variable;
  const char* help;
  Setter set;
  Json (*get)(const Config&);
};

template <class Number>
bool set_number(const std::string& text, uint64_t most, Number& field) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value > most) return false;
  field = static_cast<Number>(value);
  return true;
}

// "30m", "45s", "2h", "0" or "forever", in seconds; -1 = for ever.
bool set_keep_alive(const std::string& text, int64_t& seconds) {
  if (text == "forever" || text == "-1") {
    seconds = -1;
    return true;
  }
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || value < 0 || value > kKeepAliveMax) return false;
  const std::string unit(at, end);
  const int64_t factor = unit == "h" ? 3600 : unit == "m" ? 60 : 1;
  if (!(unit.empty() || unit == "s" || unit == "m" || unit == "h")) return false;
  if (value * factor > kKeepAliveMax) return false;
  seconds = value * factor;
  return true;
}

std::string keep_alive_text(int64_t seconds) {
  if (seconds < 0) return "forever";
  if (seconds > 0 && seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds > 0 && seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

// Names with commas between; empty: none.
bool set_names(const std::string& text, std::vector<std::string>& names) {
  names.clear();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end == at || names.size() == kPinMax) return false;
    names.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return !text.ends_with(',');
}

const std::array<Setting, 14> kSettings = {{
    {"home", "MARU_HOME", "folder of models and data (default ~/.maru)",
     [](Config& c, const std::string& text) -> const char* {
       if (text.empty()) return "the path of a folder";
       c.home = text;
       return nullptr;
     },
     [](const Config& c) { return Json(c.home.string()); }},
    {"model", "MARU_MODEL", "model of commands that name none",
     [](Config& c, const std::string& text) -> const char* {
       if (text.empty()) return "the name of a model or the path of a GGUF file";
       c.model = text;
       return nullptr;
     },
     [](const Config& c) { return Json(c.model); }},
    {"host", "MARU_HOST", "address that serve listens on",
     [](Config& c, const std::string& text) -> const char* {
       if (text.empty()) return "an IP address such as 127.0.0.1";
       c.host = text;
       return nullptr;
     },
     [](const Config& c) { return Json(c.host); }},
    {"port", "MARU_PORT", "port that serve listens on (0 = any free one)",
     [](Config& c, const std::string& text) -> const char* {
       return set_number(text, 65535, c.port) ? nullptr : "0 to 65535";
     },
     [](const Config& c) { return Json(c.port); }},
    {"threads", "MARU_THREADS", "threads of an engine (0 = one per core)",
     [](Config& c, const std::string& text) -> const char* {
       return set_number(text, kThreadsMax, c.threads) ? nullptr : "0 to 1024";
     },
     [](const Config& c) { return Json(c.threads); }},
    {"context", "MARU_CONTEXT",
     "longest sequence in tokens, at most what a model was made for (0 = that)",
     [](Config& c, const std::string& text) -> const char* {
       return set_number(text, kContextMax, c.context) ? nullptr : "0 to 16777216";
     },
     [](const Config& c) { return Json(c.context); }},
    {"isa", "MARU_ISA", "arithmetic: scalar, avx2, avxvnni, avx512 or amx (default: the best here)",
     [](Config& c, const std::string& text) -> const char* {
       const bool known = text.empty() || text == "scalar" || text == "avx2" || text == "avxvnni" ||
                          text == "avx512" || text == "amx";
       if (!known) return kIsaNames;
       c.isa = text;
       return nullptr;
     },
     [](const Config& c) { return Json(c.isa); }},
    {"keep_alive", "MARU_KEEP_ALIVE",
     "how long a model that nobody uses stays in memory: 45s, 30m, 2h or forever (default 30m)",
     [](Config& c, const std::string& text) -> const char* {
       return set_keep_alive(text, c.keep_alive_s) ? nullptr
                                                   : "0, or a time such as 45s, 30m, 2h; forever";
     },
     [](const Config& c) { return Json(keep_alive_text(c.keep_alive_s)); }},
    {"memory", "MARU_MEMORY",
     "MiB of memory for all engines of serve together (0 = what the machine has)",
     [](Config& c, const std::string& text) -> const char* {
       return set_number(text, kMemoryMax, c.memory) ? nullptr : "0 to 1073741824";
     },
     [](const Config& c) { return Json(c.memory); }},
    {"pin", "MARU_PIN", "models that serve loads at start and keeps, with commas between",
     [](Config& c, const std::string& text) -> const char* {
       return set_names(text, c.pin) ? nullptr : "at most 64 names of models with commas between";
     },
     [](const Config& c) { return Json(fmt::format("{}", fmt::join(c.pin, ","))); }},
    {"kv_disk", "MARU_KV_DISK",
     "MiB of disk on which the conversations of each model outlive a restart (default 2048; 0 = "
     "none)",
     [](Config& c, const std::string& text) -> const char* {
       return set_number(text, kKvDiskMax, c.kv_disk) ? nullptr : "0 to 1048576";
     },
     [](const Config& c) { return Json(c.kv_disk); }},
    {"speculate", "MARU_SPECULATE",
     "whether answers that repeat what was said before are guessed ahead: off or lookup (default "
     "lookup)",
     [](Config& c, const std::string& text) -> const char* {
       if (text != "off" && text != "lookup") return "off or lookup";
       c.guesses = text == "lookup";
       return nullptr;
     },
     [](const Config& c) { return Json(c.guesses ? "lookup" : "off"); }},
    {"hub", "HF_ENDPOINT", "where models are fetched from (default https://huggingface.co)",
     [](Config& c, const std::string& text) -> const char* {
       // Other programs read this variable too: only `pull` refuses what is no address.
       if (!text.empty()) c.hub = text;
       return nullptr;
     },
     [](const Config& c) { return Json(c.hub); }},
    {"log_level", "MARU_LOG_LEVEL", "debug, info, warning or error",
     [](Config& c, const std::string& text) -> const char* {
       for (size_t i = 0; i < kLogLevels.size(); ++i) {
         if (text == kLogLevels[i]) {
           c.log_level = static_cast<LogLevel>(i);
           return nullptr;
         }
       }
       return "debug, info, warning or error";
     },
     [](const Config& c) { return Json(kLogLevels[static_cast<size_t>(c.log_level)]); }},
}};

const Setting* find_setting(const std::string& key) {
  for (const Setting& setting : kSettings) {
    if (key == setting.key) return &setting;
  }
  return nullptr;
}

Result<void> apply(Config& config, const Setting& setting, const std::string& value,
                   const std::string& origin) {
  const char* accepted = setting.set(config, value);
  if (accepted == nullptr) return {};
  return Error::invalid(fmt::format("{} is '{}'; accepted: {}", origin, value, accepted),
                        setting.key);
}

Result<void> apply_file(Config& config, const std::filesystem::path& path) {
  const Result<std::string> text = read_file(path, kFileBytesMax);
  if (!text.ok()) {
    if (text.error().code == ErrorCode::kNotFound) return {};
    return text.error();
  }
  const Result<Json> json = parse_json(*text);
  if (!json.ok() || !json->is_object()) {
    return Error::invalid(fmt::format("'{}' must hold one JSON object{}", path.string(),
                                      json.ok() ? "" : ": " + json.error().message));
  }
  for (const auto& [key, value] : json->items()) {
    const Setting* setting = find_setting(key);
    if (setting == nullptr || key == "home") {
      std::vector<std::string> keys;
      for (const Setting& known : kSettings) keys.emplace_back(known.key);
      const auto nearest = hub::nearest_names(key, keys, 1);
      return Error::invalid(
          fmt::format(
              "'{}' sets '{}', which {}{}; `maru help config` lists the settings", path.string(),
              key, setting ? "only MARU_HOME or --home can" : "is no setting of Maru",
              setting || nearest.empty() ? ""
                                         : fmt::format(" (did you mean '{}'?)", nearest.front())),
          key);
    }
    const std::string written = value.is_string() ? value.get<std::string>() : dump_json(value);
    MARU_TRY_VOID(
        apply(config, *setting, written, fmt::format("'{}' in '{}'", key, path.string())));
  }
  return {};
}

}  // namespace

Result<Config> load_config(const Environment& environment, const Overrides& overrides) {
  Config config;
  config.model = hub::default_model().name;
  // HOME first: the file lies in it.
  const Setting& home = *find_setting("home");
  if (const auto user_home = environment("HOME")) {
    config.home = std::filesystem::path(*user_home) / ".maru";
  }
  if (const auto value = environment(home.variable)) {
    MARU_TRY_VOID(apply(config, home, *value, home.variable));
  }
  for (const auto& [key, value] : overrides) {
    if (key == home.key) MARU_TRY_VOID(apply(config, home, value, "--home"));
  }
  if (config.home.empty()) {
    return Error::invalid("neither MARU_HOME nor HOME is set: say where models and data belong",
                          "home");
  }

  MARU_TRY_VOID(apply_file(config, config.home / "config.json"));
  for (const Setting& setting : kSettings) {
    const auto value = environment(setting.variable);
    if (value && &setting != &home) {
      MARU_TRY_VOID(apply(config, setting, *value, setting.variable));
    }
  }
  for (const auto& [key, value] : overrides) {
    const Setting* setting = find_setting(key);
    CHECK(setting != nullptr);
    MARU_TRY_VOID(apply(config, *setting, value, "--" + key));
  }
  config.home = std::filesystem::absolute(config.home).lexically_normal();
  return config;
}

Json config_json(const Config& config) {
  Json json = Json::object();
  for (const Setting& setting : kSettings) json[setting.key] = setting.get(config);
  return json;
}

std::string config_help() {
  std::string text;
  for (const Setting& setting : kSettings) {
    text += fmt::format("  {:<10} {:<16} {}\n", setting.key, setting.variable, setting.help);
  }
  return text;
}

}  // namespace maru::app
