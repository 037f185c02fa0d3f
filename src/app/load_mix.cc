#include "app/load_mix.h"

#include <cmath>

namespace maru::app {
namespace {

constexpr std::string_view kWords[] = {
    "time",       "year",   "people",   "way",   "day",     "man",    "thing",   "woman",    "life",
    "child",      "world",  "school",   "state", "family",  "group",  "country", "problem",  "hand",
    "part",       "place",  "case",     "week",  "company", "system", "program", "question", "work",
    "government", "number", "night",    "point", "home",    "water",  "room",    "mother",   "area",
    "money",      "story",  "fact",     "month", "lot",     "right",  "study",   "book",     "eye",
    "job",        "word",   "business", "issue"};

std::string words(Rng& rng, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) {
    if (i > 0) text += ' ';
    text += kWords[rng.below(std::size(kWords))];
  }
  return text;
}

std::string shared_prefix(const LoadGroup& group, uint64_t seed) {
  Rng rng(seed);
  return words(rng, group.n_prefix);
}

}  // namespace

std::vector<std::vector<LoadGroup>> load_mix(std::string_view name, size_t n_streams,
                                             size_t n_prompt, size_t n_answer) {
  LoadGroup group{.name = std::string(name), .n_streams = n_streams};
  group.n_prompt = n_prompt;
  group.n_answer = n_answer;
  if (name == "chat") return {{group}};
  if (name == "shared") {
    group.n_prefix = 2000;
    group.n_prompt = 64;
    return {{group}};
  }
  if (name == "turns") {
    group.n_turns = 4;
    group.n_prompt = 64;
    return {{group}};
  }
  if (name == "long") {
    LoadGroup document{.name = "document", .n_prompt = 4096, .n_answer = 32};
    return {{group, document}};
  }
  if (name == "flood") {
    LoadGroup light{.name = "light", .n_streams = 9};
    light.n_prompt = n_prompt;
    light.n_answer = 32;
    light.think_seconds = 10;
    group.user = "flood";
    std::vector<std::vector<LoadGroup>> runs = {{light}, {light, group}};
    return runs;
  }
  return {};
}

Talker::Talker(const LoadGroup& group, std::string model, uint64_t seed, size_t index)
    : group_(group),
      model_(std::move(model)),
      user_(group.user.empty() ? group.name + " " + std::to_string(index) : group.user),
      prefix_(shared_prefix(group, seed)),
      rng_(seed * 1000 + index + std::hash<std::string>()(group.name)) {}

Json Talker::next(const std::string& answer) {
  if (n_turn_ == group_.n_turns) {
    messages_ = Json::array();
    n_turn_ = 0;
  }
  if (n_turn_ > 0) messages_.push_back({{"role", "assistant"}, {"content", answer}});
  if (n_turn_ == 0 && !prefix_.empty()) {
    messages_.push_back({{"role", "system"}, {"content", prefix_}});
  }
  messages_.push_back({{"role", "user"}, {"content", words(rng_, group_.n_prompt)}});
  ++n_turn_;
  return {
      {"model", model_},    {"messages", messages_}, {"max_tokens", group_.n_answer},
      {"temperature", 0},   {"stream", true},        {"stream_options", {{"include_usage", true}}},
      {"ignore_eos", true}, {"user", user_}};
}

// Exponential, as arrivals of independent people are.
double Talker::think_seconds() { return -group_.think_seconds * std::log(1 - rng_.uniform()); }

}  // namespace maru::app
