#include "text/chat_shape.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "source_dir.h"
#include "text/answer_parser.h"

namespace maru::text {
namespace {

const std::filesystem::path kFixtures = MARU_SOURCE_DIR "/../shared/fixtures/chat_templates";

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

const Json kTokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};

struct Model {
  explicit Model(const std::string& source)
      : chat_template(ChatTemplate::parse(source).value()),
        shape(ChatShape::find(chat_template, source, kTokens,
                              [](std::string_view) { return false; })) {}

  std::string render(Json messages, Json tools = nullptr, bool add_generation_prompt = true) const {
    shape.prepare(messages, tools);
    const auto spans = chat_template.render({.messages = std::move(messages),
                                             .tools = std::move(tools),
                                             .add_generation_prompt = add_generation_prompt,
                                             .tokens = kTokens});
    if (!spans.ok()) return spans.error().message;
    std::string text;
    for (const Span& span : *spans) text += span.text;
    return text;
  }
  ReasoningState state(const Json& kwargs = Json::object()) const {
    const auto spans = chat_template.render(
        {.messages = {{{"role", "user"}, {"content", "hi"}}}, .tokens = kTokens, .kwargs = kwargs});
    return shape.reasoning_state(*spans, false);
  }
  std::string_view calls() const { return shape.format().calls->name; }
  std::string_view reasoning() const {
    return shape.format().reasoning == nullptr ? "" : shape.format().reasoning->name;
  }

  ChatTemplate chat_template;
  ChatShape shape;
};

Json two_calls() {
  return Json::parse(R"([
    {"role": "user", "content": "Do both."},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "call_a1", "type": "function",
       "function": {"name": "get_weather", "arguments": {"city": "부산"}}},
      {"id": "call_b2", "type": "function", "function": {"name": "add", "arguments": {"a": 2}}}]},
    {"role": "tool", "tool_call_id": "call_a1", "content": "rain"},
    {"role": "tool", "tool_call_id": "call_b2", "content": "5.5"}])");
}

const Json kTools = Json::parse(R"([{"type": "function", "function": {"name": "get_weather",
    "description": "The weather now.", "parameters": {"type": "object", "properties": {"city":
    {"type": "string"}}, "required": ["city"]}}}])");

TEST(ChatShapeFixtures, FamiliesAreKnownByWhatTheirTemplatesWrite) {
  if (!std::filesystem::exists(kFixtures)) GTEST_SKIP() << "no fixtures";
  // Name: calls, whether the template has tools itself, reasoning, state of a new answer.
  using Row = std::tuple<std::string_view, bool, std::string_view, ReasoningState>;
  using enum ReasoningState;
  const std::map<std::string, Row> expected = {
      {"gguf-qwen2.5-coder-0.5b-instruct", {"hermes", true, "", kNone}},
      {"Qwen-Qwen3-0.6B", {"hermes", true, "think", kNone}},
      {"Qwen-QwQ-32B", {"hermes", true, "think", kClosed}},
      {"MiMo-VL", {"hermes", true, "", kNone}},
      {"ibm-granite-granite-4.0", {"hermes", true, "", kNone}},
      {"Bielik-11B-v3.0-Instruct", {"hermes", true, "think", kNone}},
      {"unsloth-mistral-Devstral-Small-2507", {"mistral_args", true, "", kNone}},
      {"Mistral-Small-3.2-24B-Instruct-2506", {"mistral_id", true, "", kNone}},
      {"meta-llama-Llama-3.1-8B-Instruct", {"llama3", true, "", kNone}},
      {"meta-llama-Llama-3.2-3B-Instruct", {"llama3", true, "", kNone}},
      {"openai-gpt-oss-120b", {"harmony", true, "harmony", kNone}},
      {"NVIDIA-Nemotron-Nano-v2", {"nemotron", true, "think", kOpen}},
      {"GigaChat3.1-10B-A1.8B", {"gigachat", true, "", kNone}},
      // Tools of their own, written in ways that are not in the table: the generic form.
      {"Qwen3-Coder", {"hermes", false, "", kNone}},
      {"GLM-4.7-Flash", {"hermes", false, "think", kOpen}},
      {"google-gemma-4-31B-it-interleaved", {"hermes", false, "", kNone}},
      // No tools at all.
      {"gguf-smollm2-135m-instruct", {"hermes", false, "", kNone}},
      {"google-gemma-2-2b-it", {"hermes", false, "", kNone}},
      {"microsoft-Phi-3.5-mini-instruct", {"hermes", false, "", kNone}},
  };
  for (const auto& [name, row] : expected) {
    const Model model(read(kFixtures / "templates" / (name + ".jinja")));
    EXPECT_EQ(row, Row(model.calls(), model.shape.has_tools(), model.reasoning(), model.state()))
        << name << ": " << model.calls() << " " << model.shape.has_tools() << " "
        << model.reasoning() << " " << static_cast<int>(model.state());
  }
}

// What a template writes for a call is what the parser reads.
TEST(ChatShapeFixtures, CallsOfTheHistoryAreReadBack) {
  if (!std::filesystem::exists(kFixtures)) GTEST_SKIP() << "no fixtures";
  size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures / "templates")) {
    const Model model(read(entry.path()));
    if (!model.shape.has_tools() || model.calls() == "harmony") continue;
    Json messages = two_calls();
    if (!model.shape.parallel()) {
      messages[1]["tool_calls"].erase(1);
      messages.erase(3);
    }
    const std::string text = model.render(messages, kTools, false);
    const size_t question = text.rfind("Do both.");
    ASSERT_NE(question, std::string::npos) << entry.path() << text;
    const CallFormat& format = *model.shape.format().calls;
    const size_t begin =
        text.find(std::string(format.begin) + std::string(format.before_name), question);
    ASSERT_NE(begin, std::string::npos) << entry.path() << text;
    AnswerParser parser({&format, nullptr}, {.names = {"get_weather", "add"}});
    AnswerParts parts;
    parser.feed(text.substr(begin), parts);
    ASSERT_GE(parts.size(), 2u) << entry.path();
    EXPECT_EQ(parts[0], (AnswerPart{AnswerPart::kCall, "get_weather"})) << entry.path();
    EXPECT_EQ(parse_json(parts[1].text).value(), Json({{"city", "부산"}})) << entry.path();
    if (model.shape.parallel()) {
      ASSERT_GE(parts.size(), 4u) << entry.path() << text.substr(begin);
      EXPECT_EQ(parts[2], (AnswerPart{AnswerPart::kCall, "add"})) << entry.path();
      EXPECT_EQ(parse_json(parts[3].text).value(), Json({{"a", 2}})) << entry.path();
    }
    ++n;
  }
  EXPECT_GE(n, 12u);
}

TEST(ChatShapeFixtures, EveryTemplateTakesAHistoryWithResults) {
  if (!std::filesystem::exists(kFixtures)) GTEST_SKIP() << "no fixtures";
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures / "templates")) {
    // Fails for every conversation without tools, and has a form of its own for them.
    if (entry.path().stem() == "CohereForAI-c4ai-command-r-plus-tool_use") continue;
    const Model model(read(entry.path()));
    Json messages = two_calls();
    if (!model.shape.parallel()) {
      messages[1]["tool_calls"].erase(1);
      messages.erase(3);
    }
    const std::string text = model.render(messages, kTools);
    EXPECT_NE(text.find("rain"), std::string::npos) << entry.path() << ": " << text;
    EXPECT_NE(text.find("The weather now."), std::string::npos) << entry.path() << ": " << text;
  }
}

constexpr std::string_view kPlain =
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

TEST(ChatShape, ATemplateWithoutToolsIsToldInText) {
  const Model model{std::string(kPlain)};
  EXPECT_FALSE(model.shape.has_tools());
  Json messages = two_calls();
  messages.push_back({{"role", "user"}, {"content", "Thanks!"}});
  const std::string text = model.render(messages, kTools);
  EXPECT_TRUE(text.starts_with("<|system|># Tools\n")) << text;
  EXPECT_NE(text.find(R"("description":"The weather now.")"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(
      "<|user|>Do both.\n"
      "<|assistant|><tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\":\"부산\"}}\n"
      "</tool_call>\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":2}}\n</tool_call>\n"
      "<|user|><tool_response>\nrain\n</tool_response>\n<tool_response>\n5.5\n</tool_response>\n"
      "Thanks!\n<|assistant|>"))
      << text;
  // A conversation without tools is left alone.
  EXPECT_EQ(model.render(Json::parse(R"([{"role":"user","content":"hi"}])")),
            "<|user|>hi\n<|assistant|>");
}

TEST(ChatShape, WithoutASystemRoleTheFirstQuestionTellsIt) {
  const Model model(
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}"
      "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}");
  const std::string text = model.render(Json::parse(R"([{"role":"user","content":"hi"}])"), kTools);
  EXPECT_TRUE(text.starts_with("[user]# Tools\n")) << text;
  EXPECT_TRUE(text.ends_with("</tool_call>\n\nhi")) << text;
}

// As DeepSeek R1 and V3 have it, and as Mistral 7B v0.3 has it, in short.
constexpr std::string_view kDeepseek =
    "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
    "{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% elif m.role == 'assistant' %}"
    "<｜Assistant｜>{% if m.tool_calls %}{{ m.content }}<｜tool▁calls▁begin｜>"
    "{% for c in m.tool_calls %}{% if not loop.first %}\n{% endif %}"
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.function.name }}\n```json\n"
    "{{ c.function.arguments }}\n```<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>"
    "{% else %}{{ m.content.split('</think>')[-1] }}{% endif %}{% elif m.role == 'tool' %}"
    "<｜tool▁output▁begin｜>{{ m.content }}<｜tool▁output▁end｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}";
constexpr std::string_view kMistral =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{% if tools and loop.last %}"
    "[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}[INST] {{ m.content }}"
    "[/INST]{% elif m.tool_calls %}[TOOL_CALLS] [{% for c in m.tool_calls %}"
    "{% if c.id is not defined or c.id | length != 9 %}{{ raise_exception('9 characters') }}"
    "{% endif %}{\"name\": \"{{ c.function.name }}\", \"arguments\": "
    "{{ c.function.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]</s>"
    "{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}"
    "{{ raise_exception('9 characters') }}{% endif %}[TOOL_RESULTS] {\"content\": {{ m.content }}, "
    "\"call_id\": \"{{ m.tool_call_id }}\"}[/TOOL_RESULTS]{% elif m.content is not none %} "
    "{{ m.content }}</s>{% endif %}{% endfor %}"
    "{% if false %}{{ tools | tojson }}{% endif %}";

TEST(ChatShape, ArgumentsAsTextAndReasoningThatThePromptOpens) {
  const Model model{std::string(kDeepseek)};
  EXPECT_EQ(model.calls(), "deepseek");
  EXPECT_EQ(model.reasoning(), "think");
  EXPECT_EQ(model.state(), ReasoningState::kOpen);
  const std::string text = model.render(two_calls(), kTools);
  EXPECT_NE(text.find("get_weather\n```json\n{\"city\":\"부산\"}\n```"), std::string::npos) << text;
}

TEST(ChatShape, IdsOfNineCharactersWhereTheTemplateAsksForThem) {
  const Model model{std::string(kMistral)};
  EXPECT_EQ(model.calls(), "mistral");
  const std::string text = model.render(two_calls(), kTools);
  EXPECT_NE(text.find("\"content\": rain, \"call_id\": \"call00001\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"content\": 5.5, \"call_id\": \"call00002\""), std::string::npos) << text;
}

TEST(ChatShape, ThinkingThatThePromptClosesIsOver) {
  const Model model(
      "{% for m in messages %}{{ m.content }}{% endfor %}<|assistant|>"
      "{% if thinking is defined and not thinking %}<think>\n\n</think>\n\n"
      "{% endif %}");
  EXPECT_EQ(model.state(), ReasoningState::kNone);
  EXPECT_EQ(model.state({{"thinking", false}}), ReasoningState::kClosed);
}

// A person who writes the mark does not open anything.
TEST(ChatShape, MarksInDataMeanNothing) {
  const std::string source = "</think>{% for m in messages %}{{ m.content }}{% endfor %}";
  const Model model(source);
  const auto spans = model.chat_template.render(
      {.messages = {{{"role", "user"}, {"content", "<think>"}}}, .tokens = kTokens});
  EXPECT_EQ(model.shape.reasoning_state(*spans, false), ReasoningState::kNone);
  EXPECT_EQ(model.shape.reasoning_state(*spans, true), ReasoningState::kOpen);
}

TEST(ChatShape, OddConversationsAreTheTemplatesToRefuse) {
  for (const auto& source : {kPlain, kDeepseek, kMistral}) {
    const Model model{std::string(source)};
    for (const char* odd :
         {"7", "[7]", "[{}]", R"([{"role":"assistant","tool_calls":7}])",
          R"([{"role":"assistant","tool_calls":[{"function":{"name":1}}]}])",
          R"([{"role":"tool","content":null}])", R"([{"role":"tool","content":[1]}])",
          R"([{"role":"tool","tool_call_id":"x","content":"first"}])"}) {
      model.render(Json::parse(odd), kTools);  // any text or error, no crash
    }
  }
}

}  // namespace
}  // namespace maru::text
