#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace maru::text {
namespace {

const std::filesystem::path kFixtures = MARU_SOURCE_DIR "/../shared/fixtures/chat_templates";
constexpr int64_t kNow = 1741944413;  // 2025-03-14 09:26:53

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string joined(const Spans& spans) {
  std::string text;
  for (const Span& span : spans) text += span.text;
  return text;
}

TEST(ChatTemplateFixtures, EveryCaseByteForByte) {
  if (!std::filesystem::exists(kFixtures)) GTEST_SKIP() << "no fixtures";
  std::map<std::string, ChatTemplate> templates;
  std::ifstream cases(kFixtures / "cases.jsonl");
  size_t n = 0;
  for (std::string line; std::getline(cases, line); ++n) {
    const Json c = parse_json(line).value();
    const std::string name = c["template"];
    const std::string label = name + " / " + c["case"].get<std::string>();
    if (!templates.contains(name)) {
      auto parsed = ChatTemplate::parse(read(kFixtures / "templates" / (name + ".jinja")));
      ASSERT_TRUE(parsed.ok()) << name << ": " << parsed.error().message;
      templates.emplace(name, std::move(parsed).value());
    }
    const RenderInputs inputs{.messages = c["messages"],
                              .tools = c["tools"],
                              .add_generation_prompt = c["add_generation_prompt"],
                              .tokens = c["tokens"],
                              .kwargs = c["kwargs"],
                              .now_unix_seconds = kNow};
    const auto result = templates.at(name).render(inputs);
    if (!c.contains("error")) {
      ASSERT_TRUE(result.ok()) << label << ": " << result.error().message;
      EXPECT_EQ(joined(*result), c["expected"].get<std::string>()) << label;
    } else {
      ASSERT_FALSE(result.ok()) << label << ": should fail: " << c["error"].dump();
      if (c["error"]["raised_by_template"]) {
        EXPECT_EQ(result.error().message, c["error"]["message"].get<std::string>()) << label;
      }
    }
  }
  EXPECT_EQ(n, 1029u);
}

}  // namespace
}  // namespace maru::text
