#include "link/answer_grammar.h"

#include <gtest/gtest.h>

namespace maru::link {
namespace {

using text::ReasoningState;

const Json kTools = Json::parse(R"([
  {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
   "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
  {"type": "function", "function": {"name": "now", "parameters": {"type": "object",
   "properties": {}}}}])");

// Templates of a few words that write calls as the families do.
text::ChatShape shape_of(const std::string& call, bool thinks = false) {
  const std::string source =
      "{{ tools }}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}" + call +
      "{% endfor %}{% endfor %}" + (thinks ? "{# </think> #}" : "");
  const auto chat_template = text::ChatTemplate::parse(source);
  EXPECT_TRUE(chat_template.ok());
  auto shape = text::ChatShape::find(*chat_template, source, Json::object(),
                                     [](std::string_view) { return false; });
  EXPECT_TRUE(shape.has_tools()) << call;
  return shape;
}

text::ChatShape hermes(bool thinks = false) {
  return shape_of(
      "<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
      "{{ c.function.arguments | tojson }}}\n</tool_call>",
      thinks);
}
text::ChatShape llama3() {
  return shape_of(
      "{\"name\": \"{{ c.function.name }}\", \"parameters\": "
      "{{ c.function.arguments | tojson }}}");
}

CallRule any_number(size_t n_min) { return {n_min, kCallsMax, {"get_weather", "now"}}; }

// "yes", "no", "anything", or the error's message.
std::string verdict(const text::ChatShape& shape, const GenerateRequest& request,
                    std::string_view answer, ReasoningState state = ReasoningState::kNone,
                    const Json& tools = kTools) {
  const auto spec = answer_grammar(shape, state, request, tools);
  if (!spec.ok()) return spec.error().message;
  if (!spec->has_value()) return "anything";
  auto program = grammar::compile(**spec);
  if (!program.ok()) return program.error().message;
  const auto accepted = grammar::accepts(**program, answer);
  return !accepted.ok() ? accepted.error().message : *accepted ? "yes" : "no";
}

std::string call(const std::string& name, const std::string& arguments) {
  return "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + arguments +
         "}\n</tool_call>";
}

TEST(AnswerGrammar, Choices) {
  const auto shape = hermes();
  const std::string weather = call("get_weather", R"({"city": "서울"})");
  const std::string now = call("now", "{}");
  GenerateRequest request;
  EXPECT_EQ(verdict(shape, request, ""), "anything");
  request.calls = any_number(0);  // auto
  EXPECT_EQ(verdict(shape, request, "It rains."), "yes");
  EXPECT_EQ(verdict(shape, request, "Let me look.\n" + weather), "yes");
  EXPECT_EQ(verdict(shape, request, weather + "\n" + now), "yes");
  EXPECT_EQ(verdict(shape, request, weather + " and text"), "no");
  EXPECT_EQ(verdict(shape, request, call("get_weather", R"({"town": "x"})")), "no");
  EXPECT_EQ(verdict(shape, request, call("get_weather", R"({"city": "x", "y": 1})")), "no");
  EXPECT_EQ(verdict(shape, request, call("rm", "{}")), "no");
  const std::string plain = R"({"name": "now", "arguments": )";
  EXPECT_EQ(verdict(shape, request, plain + "{}}"), "yes");
  EXPECT_EQ(verdict(shape, request, plain + "{}} and more"), "no");
  EXPECT_EQ(verdict(shape, request, R"({"name": "Bob", "arguments": 7})"), "yes");
  EXPECT_EQ(
      verdict(shape, request, "```json\n{\n  \"name\": \"now\",\n  \"arguments\": {}\n}\n```"),
      "yes");
  request.calls->n_max = 1;  // not in parallel
  EXPECT_EQ(verdict(shape, request, weather + "\n" + now), "no");
  request.calls = any_number(1);  // required
  EXPECT_EQ(verdict(shape, request, "It rains."), "no");
  EXPECT_EQ(verdict(shape, request, now), "yes");
  request.calls = CallRule{1, 1, {"now"}};  // named
  EXPECT_EQ(verdict(shape, request, weather), "no");
  EXPECT_EQ(verdict(shape, request, now), "yes");
  request.calls = CallRule{};  // none
  EXPECT_EQ(verdict(shape, request, now), "no");
  EXPECT_EQ(verdict(shape, request, "<tool_call> is how"), "no");
  EXPECT_EQ(verdict(shape, request, "A <tool> call."), "yes");
}

TEST(AnswerGrammar, CallsThatAreTheWholeAnswer) {
  const auto shape = llama3();
  GenerateRequest request;
  request.calls = any_number(0);
  const std::string now = R"({"name": "now", "parameters": {}})";
  EXPECT_EQ(verdict(shape, request, now), "yes");
  EXPECT_EQ(verdict(shape, request, "<|python_tag|>" + now), "yes");
  EXPECT_EQ(verdict(shape, request, now + "; " + now), "yes");
  EXPECT_EQ(verdict(shape, request, "As JSON: " + now), "yes");
  EXPECT_EQ(verdict(shape, request, R"({"name": "rm", "parameters": {}})"), "no");
}

TEST(AnswerGrammar, ReasoningComesFirst) {
  const auto shape = hermes(true);
  const std::string now = call("now", "{}");
  GenerateRequest request;
  request.calls = any_number(1);
  using enum ReasoningState;
  EXPECT_EQ(verdict(shape, request, now), "yes");
  EXPECT_EQ(verdict(shape, request, "<think>\n<tool_call>?\n</think>\n\n" + now), "yes");
  EXPECT_EQ(verdict(shape, request, "hm</think>" + now), "no");
  EXPECT_EQ(verdict(shape, request, "hm</think>" + now, kOpen), "yes");
  EXPECT_EQ(verdict(shape, request, now, kOpen), "no");
  EXPECT_EQ(verdict(shape, request, now, kClosed), "yes");
  EXPECT_EQ(verdict(shape, request, "<think>hm</think>" + now, kClosed), "no");
  // What the answer must look like holds for what comes behind.
  request.calls.reset();
  request.grammar = {grammar::GrammarKind::kChoice, "", {"yes", "no"}};
  EXPECT_EQ(verdict(shape, request, "hm</think>\nyes", kOpen), "yes");
  EXPECT_EQ(verdict(shape, request, "hm</think>\nmaybe", kOpen), "no");
  EXPECT_EQ(verdict(shape, request, "yes"), "yes");
}

TEST(AnswerGrammar, TextOfAFormOrACall) {
  GenerateRequest request;
  request.calls = any_number(0);
  request.grammar = {grammar::GrammarKind::kJsonSchema, R"({"type": "integer"})", {}};
  EXPECT_EQ(verdict(hermes(), request, "7"), "yes");
  EXPECT_EQ(verdict(hermes(), request, "seven"), "no");
  EXPECT_EQ(verdict(hermes(), request, call("now", "{}")), "yes");
}

TEST(AnswerGrammar, HarmonyIsAlwaysHeld) {
  const std::string source =
      "{{ tools }}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
      "<|start|>assistant to=functions.{{ c.function.name }}<|channel|>commentary json<|message|>"
      "{{ c.function.arguments | tojson }}<|call|>{% endfor %}{% endfor %}"
      "{# <|channel|>analysis <|channel|>final #}";
  const auto chat_template = text::ChatTemplate::parse(source);
  const auto shape = text::ChatShape::find(*chat_template, source, Json::object(),
                                           [](std::string_view) { return false; });
  GenerateRequest request;
  const std::string thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant";
  const std::string now = "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}";
  EXPECT_EQ(verdict(shape, request, thought + "<|channel|>final<|message|>Yes."), "yes");
  EXPECT_EQ(verdict(shape, request, "Yes."), "no");
  EXPECT_EQ(verdict(shape, request, thought + now), "no");
  request.calls = any_number(1);
  EXPECT_EQ(verdict(shape, request, thought + now), "yes");
  EXPECT_EQ(verdict(shape, request, "<|channel|>final<|message|>Yes."), "no");
}

TEST(AnswerGrammar, ArgumentsAreAnObject) {
  const auto schema = [](const char* parameters) {
    return dump_json(arguments_schema({{"name", "f"}, {"parameters", Json::parse(parameters)}}));
  };
  const std::string none = R"({"type":"object","properties":{},"additionalProperties":false})";
  EXPECT_EQ(dump_json(arguments_schema({{"name", "f"}})), none);
  EXPECT_EQ(schema("{}"), none);
  EXPECT_EQ(schema(R"({"properties":{"a":{}}})"),
            R"({"properties":{"a":{}},"type":"object","additionalProperties":false})");
  EXPECT_EQ(schema(R"({"type":"object","properties":{},"additionalProperties":true})"),
            R"({"type":"object","properties":{},"additionalProperties":true})");
  EXPECT_EQ(schema(R"({"type":["object","null"],"anyOf":[]})"), R"({"type":"object","anyOf":[]})");
}

TEST(AnswerGrammar, AnErrorIsAboutATool) {
  Json tools = kTools;
  tools[1]["function"]["parameters"]["uniqueItems"] = true;
  tools[1]["function"]["parameters"]["properties"]["x"] = {{"type", "array"},
                                                           {"uniqueItems", true}};
  GenerateRequest request;
  request.calls = any_number(0);
  const auto spec = answer_grammar(hermes(), ReasoningState::kNone, request, tools);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(grammar::compile(**spec).error().param, "tools[1].function.parameters");
  request.calls->names = {"other"};
  EXPECT_EQ(answer_grammar(hermes(), ReasoningState::kNone, request, tools).error().param, "calls");
}

}  // namespace
}  // namespace maru::link
