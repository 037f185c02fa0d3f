#include "app/config.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <map>

#include "app/port_owner.h"
#include "app/terminal.h"
#include "app/utc.h"
#include "base/files.h"

namespace maru::app {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string pattern = (fs::temp_directory_path() / "maru-app-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    home_ = pattern;
    variables_["MARU_HOME"] = pattern;
  }
  ~ConfigTest() override { fs::remove_all(home_); }

  void file(const std::string& text) {
    ASSERT_TRUE(write_file_atomic(home_ / "config.json", text).ok());
  }
  Result<Config> load(const Overrides& overrides = {}) {
    return load_config(
        [&](const char* name) -> std::optional<std::string> {
          const auto found = variables_.find(name);
          return found == variables_.end() ? std::nullopt : std::optional(found->second);
        },
        overrides);
  }

  fs::path home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(ConfigTest, FlagsWinOverEnvironmentOverFileOverDefaults) {
  EXPECT_EQ(load()->port, 6278);
  EXPECT_EQ(load()->hub, "https://huggingface.co");
  variables_["HF_ENDPOINT"] =
      "http://mirror.example";  // for `pull` to refuse, not for all commands
  EXPECT_EQ(load()->hub, "http://mirror.example");
  file(R"({"port": 1, "threads": 3, "host": "::1"})");
  EXPECT_EQ(load()->port, 1);
  variables_["MARU_PORT"] = "2";
  EXPECT_EQ(load()->port, 2);
  const auto config = load({{"port", "3"}});
  EXPECT_EQ(config->port, 3);
  EXPECT_EQ(config->threads, 3u);
  EXPECT_EQ(config->host, "::1");
}

TEST_F(ConfigTest, AnUnknownKeyRefusesToStart) {
  file(R"({"prot": 1})");
  const auto config = load();
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message, HasSubstr("did you mean 'port'?"));
  file(R"({"home": "/elsewhere"})");
  EXPECT_THAT(load().error().message, HasSubstr("MARU_HOME"));
  file("[1");
  EXPECT_FALSE(load().ok());
}

TEST_F(ConfigTest, ABadValueNamesWhereItCameFromAndWhatIsAccepted) {
  variables_["MARU_PORT"] = "65536";
  EXPECT_EQ(load().error().message, "MARU_PORT is '65536'; accepted: 0 to 65535");
  variables_.erase("MARU_PORT");
  const std::string refused = load({{"isa", "sse9"}}).error().message;
  EXPECT_THAT(refused, HasSubstr("--isa is 'sse9'"));
  EXPECT_THAT(refused, HasSubstr(kIsaNames));
  for (const char* isa : {"scalar", "avx2", "avxvnni", "avx512", "amx"}) {
    EXPECT_EQ(load({{"isa", isa}})->isa, isa);
    EXPECT_THAT(kIsaNames, HasSubstr(isa));
  }
  file(R"({"threads": -1})");
  EXPECT_THAT(load().error().message, HasSubstr("'threads' in"));
}

TEST_F(ConfigTest, TimesAndNamesAreRead) {
  EXPECT_EQ(load()->keep_alive_s, 30 * 60);
  const std::pair<const char*, int64_t> times[] = {
      {"0", 0}, {"45", 45}, {"45s", 45}, {"30m", 1800}, {"2h", 7200}, {"forever", -1}, {"-1", -1}};
  for (const auto& [text, seconds] : times) {
    const auto config = load({{"keep_alive", text}});
    EXPECT_EQ(config->keep_alive_s, seconds) << text;
    // What serve prints at start is read as the same.
    const std::string printed = config_json(*config)["keep_alive"];
    EXPECT_EQ(load({{"keep_alive", printed}})->keep_alive_s, seconds) << printed;
  }
  for (const char* text : {"", "m", "1d", "-2", "1.5h", "30 m", "99999999999h"}) {
    EXPECT_FALSE(load({{"keep_alive", text}}).ok()) << text;
  }
  EXPECT_TRUE(load()->pin.empty());
  EXPECT_EQ(load({{"pin", "a:1b,b"}})->pin, (std::vector<std::string>{"a:1b", "b"}));
  EXPECT_TRUE(load({{"pin", ""}})->pin.empty());
  for (const char* text : {",", "a,", ",a", "a,,b"}) {
    EXPECT_FALSE(load({{"pin", text}}).ok()) << text;
  }
}

TEST_F(ConfigTest, WithoutAnyHomeItSaysSo) {
  variables_.clear();
  EXPECT_THAT(load().error().message, HasSubstr("MARU_HOME"));
  variables_["HOME"] = "/home/somebody";
  EXPECT_EQ(load()->home, "/home/somebody/.maru");
}

TEST(ParseUtc, ExactlyOneShape) {
  EXPECT_EQ(parse_utc("1970-01-01 00:00:00"), 0);
  EXPECT_EQ(parse_utc("2025-03-14 09:26:53"), 1741944413);
  EXPECT_EQ(parse_utc("2024-02-29 23:59:59"), 1709251199);
  for (const char* text : {"", "2025-02-29 00:00:00", "2025-03-14T09:26:53", "2025-03-14 24:00:00",
                           "2025-03-14 09:26:5", "2025-03-14 09:26:53Z", "1969-12-31 23:59:59"}) {
    EXPECT_EQ(parse_utc(text), std::nullopt) << text;
  }
}

TEST(HumanText, RoundsAsPeopleRead) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1'117'320'768), "1.1 GB");
  EXPECT_EQ(human_bytes(98'362'432), "98 MB");
  EXPECT_EQ(human_seconds(0.2), "1s");
  EXPECT_EQ(human_seconds(80), "1m 20s");
  EXPECT_EQ(human_seconds(7260), "2h 01m");
}

TEST_F(ConfigTest, PortOwnerIsFoundThroughProc) {
  fs::create_directories(home_ / "net");
  fs::create_directories(home_ / "77" / "fd");
  ASSERT_TRUE(
      write_file_atomic(home_ / "net/tcp",
                        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
                        "retrnsmt   uid  timeout inode\n"
                        "   0: 0100007F:1886 00000000:0000 0A 00000000:00000000 00:00000000 "
                        "00000000     0        0 4242 1\n")
          .ok());
  ASSERT_TRUE(write_file_atomic(home_ / "77/comm", "nginx\n").ok());
  fs::create_symlink("socket:[4242]", home_ / "77/fd/3");
  EXPECT_EQ(port_owner(6278, home_), "process 77 (nginx)");
  EXPECT_EQ(port_owner(6279, home_), std::nullopt);
}

}  // namespace
}  // namespace maru::app
