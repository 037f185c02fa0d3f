#include "serve/openai/tool_fields.h"

#include <gtest/gtest.h>

namespace maru::serve::openai {
namespace {

const std::string kTwo =
    R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}},)"
    R"({"type":"function","function":{"name":"g","description":"d","strict":true}}])";

Result<Tools> read(const std::string& fields) {
  auto checked = Fields::check(kChatEndpoint, Json::parse("{" + fields + "}"));
  if (!checked.ok()) return checked.error();
  return read_tools(*checked);
}

// "min max names", "none", or the error's param and message.
std::string verdict(const std::string& fields) {
  const auto tools = read(fields);
  if (!tools.ok()) return tools.error().param + ": " + tools.error().message;
  if (!tools->calls) return "none";
  std::string text =
      std::to_string(tools->calls->n_min) + " " + std::to_string(tools->calls->n_max);
  for (const std::string& name : tools->calls->names) text += " " + name;
  return text;
}

TEST(ToolFields, Choices) {
  EXPECT_EQ(verdict(R"("temperature":1)"), "none");
  EXPECT_EQ(verdict(R"("tools":[],"tool_choice":"auto")"), "none");
  EXPECT_EQ(verdict(kTwo), "0 32 f g");
  EXPECT_EQ(verdict(kTwo + R"(,"tool_choice":"auto","parallel_tool_calls":false)"), "0 1 f g");
  EXPECT_EQ(verdict(kTwo + R"(,"tool_choice":"required")"), "1 32 f g");
  EXPECT_EQ(verdict(kTwo + R"(,"tool_choice":"none")"), "0 0");
  EXPECT_EQ(verdict(kTwo + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})"),
            "1 1 g");
  EXPECT_EQ(verdict(kTwo + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":
                    {"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}})"),
            "0 32 g");
  EXPECT_TRUE(read(kTwo + R"(,"tool_choice":"none")")->declared.is_null());
  const Json declared = read(kTwo)->declared;
  EXPECT_EQ(declared[0]["function"]["description"], "");
  EXPECT_EQ(declared[1]["function"]["parameters"]["type"], "object");
}

TEST(ToolFields, RefusalsNameTheField) {
  const auto tools = [](const std::string& function) {
    return verdict(R"("tools":[{"type":"function","function":)" + function + "}]");
  };
  EXPECT_EQ(tools(R"({"name":"a b"})"),
            "tools[0].function.name: tools[0].function.name must be 1 to 64 letters, digits, _ and "
            "-");
  EXPECT_TRUE(tools("7").starts_with("tools[0].function: "));
  EXPECT_TRUE(
      tools(R"({"name":"f","parameters":[]})").starts_with("tools[0].function.parameters:"));
  EXPECT_TRUE(tools(R"({"name":"f","parameters":{"type":"string"}})")
                  .starts_with("tools[0].function.parameters.type: "));
  EXPECT_TRUE(tools(R"({"name":"f","description":1})").starts_with("tools[0].function.descr"));
  EXPECT_TRUE(tools(R"({"name":"f","parameters":{"title":")" +
                    std::string(kParametersBytesMax, 'x') + "\"}}")
                  .ends_with("at most 65536 are accepted"));
  EXPECT_TRUE(verdict(R"("tools":[{"type":"web_search"}])").starts_with("tools[0].type: "));
  EXPECT_TRUE(verdict(R"("tools":[7])").starts_with("tools[0]: "));
  EXPECT_TRUE(verdict(R"("tools":[{"function":{"name":"f"}},{"function":{"name":"f"}}])")
                  .starts_with("tools[1].function.name: "));
  std::string many = R"("tools":[7)";
  for (size_t i = 0; i < link::kToolsMax; ++i) many += ",7";
  EXPECT_EQ(verdict(many + "]"), "tools: 129 tools; at most 128 are accepted");
  EXPECT_EQ(verdict(R"("tool_choice":"required")"), "tool_choice: tool_choice needs tools");
  for (const char* choice :
       {R"("any")", "7", R"({"type":"function"})", R"({"type":"function","function":{"name":"h"}})",
        R"({"type":"allowed_tools"})",
        R"({"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}})"}) {
    EXPECT_TRUE(verdict(kTwo + ",\"tool_choice\":" + choice).starts_with("tool_choice")) << choice;
  }
}

}  // namespace
}  // namespace maru::serve::openai
