#include "app/answer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <random>

#include "app/terminal.h"
#include "hub/store.h"

namespace maru::app {
namespace {

// Events on their way from the client's thread to ours. Bounded by the context: a generation has
// at most one Delta a token.
class EventQueue {
 public:
  void push(link::GenerateEvent event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back(std::move(event));
    arrived_.notify_one();
  }
  link::GenerateEvent pop() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return !events_.empty(); });
    link::GenerateEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<link::GenerateEvent> events_;
};

struct NamedSetting {
  const char* name;
  const char* range;
  bool (*set)(AnswerSettings&, const std::string&);
  std::string (*get)(const AnswerSettings&);
};

template <class Number>
bool parse_number(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end;
}

#define MARU_SAMPLING_SETTING(field, range)                                                   \
  {#field, range,                                                                             \
   [](AnswerSettings& s, const std::string& t) { return parse_number(t, s.sampling.field); }, \
   [](const AnswerSettings& s) { return fmt::format("{}", s.sampling.field); }}

const std::array<NamedSetting, 10> kNamedSettings = {{
    MARU_SAMPLING_SETTING(temperature, "0 to 2; 0 = always the likeliest token"),
    MARU_SAMPLING_SETTING(top_k, "a whole number; 0 = all tokens"),
    MARU_SAMPLING_SETTING(top_p, "above 0, up to 1"),
    MARU_SAMPLING_SETTING(min_p, "0 to 1"),
    MARU_SAMPLING_SETTING(typical_p, "above 0, up to 1"),
    MARU_SAMPLING_SETTING(repetition_penalty, "above 0, up to 2"),
    MARU_SAMPLING_SETTING(frequency_penalty, "-2 to 2"),
    MARU_SAMPLING_SETTING(presence_penalty, "-2 to 2"),
    {"seed", "a whole number from 0",
     [](AnswerSettings& s, const std::string& t) {
       s.has_seed = parse_number(t, s.sampling.seed);
       return s.has_seed;
     },
     [](const AnswerSettings& s) {
       return s.has_seed ? fmt::format("{}", s.sampling.seed) : std::string("another each time");
     }},
    {"max_tokens", "a whole number from 1",
     [](AnswerSettings& s, const std::string& t) {
       size_t n = 0;
       if (!parse_number(t, n) || n == 0) return false;
       s.max_tokens = n;
       return true;
     },
     [](const AnswerSettings& s) {
       return s.max_tokens ? fmt::format("{}", *s.max_tokens) : std::string("up to the context");
     }},
}};

#undef MARU_SAMPLING_SETTING

const NamedSetting* find_named(const std::string& name) {
  for (const NamedSetting& setting : kNamedSettings) {
    if (name == setting.name) return &setting;
  }
  return nullptr;
}

double per_second(size_t n, double seconds) {
  return seconds > 0 ? static_cast<double>(n) / seconds : 0;
}

}  // namespace

void add_answer_flags(const Command& command, AnswerSettings* settings) {
  for (const NamedSetting& setting : kNamedSettings) {
    std::string flag = "--" + std::string(setting.name);
    std::string dashed = flag;
    std::replace(dashed.begin() + 2, dashed.end(), '_', '-');
    // --top-k as people type it, --top_k as the API spells it.
    if (dashed != flag) dashed += "," + flag;
    if (std::string_view(setting.name) == "max_tokens") dashed = "-n," + dashed;
    command
        .add_setter(
            dashed,
            [settings, name = std::string(setting.name)](const std::string& value) {
              return set_by_name(*settings, name, value);
            },
            setting.range)
        .value_name("N");
  }
  command.add_option("--stop", settings->stop, "text that ends the answer (may be repeated)")
      .one_value_each()
      .value_name("TEXT");
}

Result<void> set_by_name(AnswerSettings& settings, const std::string& name,
                         const std::string& value) {
  const NamedSetting* setting = find_named(name);
  if (setting == nullptr) {
    std::vector<std::string> names;
    for (const NamedSetting& known : kNamedSettings) names.emplace_back(known.name);
    return Error::invalid(
        fmt::format("there is no setting '{}'; there are {}", name, fmt::join(names, ", ")));
  }
  AnswerSettings changed = settings;
  if (!setting->set(changed, value)) {
    return Error::invalid(fmt::format("{} is '{}'; accepted: {}", name, value, setting->range),
                          name);
  }
  // The vocabulary matters for logit_bias only, which no flag sets.
  MARU_TRY_VOID(engine::check_sampling(changed.sampling, SIZE_MAX));
  settings = std::move(changed);
  return {};
}

std::string describe(const AnswerSettings& settings) {
  std::string text;
  for (const NamedSetting& setting : kNamedSettings) {
    text += fmt::format("  {:<20} {}\n", setting.name, setting.get(settings));
  }
  return text;
}

link::GenerateRequest generate_request(const AnswerSettings& settings) {
  link::GenerateRequest request;
  request.sampling = settings.sampling;
  if (!settings.has_seed) request.sampling.seed = std::random_device{}();
  request.stop = settings.stop;
  request.max_tokens = settings.max_tokens;
  return request;
}

Answer stream_answer(link::Client& client, link::GenerateRequest request,
                     const std::function<void(std::string_view)>& on_text) {
  Answer answer;
  EventQueue events;
  const link::RequestId id = client.generate(
      std::move(request), [&](link::GenerateEvent event) { events.push(std::move(event)); });
  {
    const Interrupts interrupts([&](int signal) {
      answer.interrupted = true;
      answer.terminated = answer.terminated || signal == SIGTERM;
      client.cancel(id);
    });
    while (!answer.done && !answer.error) {
      link::GenerateEvent event = events.pop();
      if (auto* delta = std::get_if<link::Delta>(&event)) {
        answer.text += delta->text;
        if (!delta->text.empty()) on_text(delta->text);
      } else if (auto* done = std::get_if<link::Done>(&event)) {
        answer.done = std::move(*done);
      } else if (auto* failed = std::get_if<link::Failed>(&event)) {
        answer.error = std::move(failed->error);
      }
    }
  }  // from here on nobody else writes to the answer
  return answer;
}

std::string describe(const link::Usage& usage) {
  const std::string cached =
      usage.n_cached > 0 ? fmt::format(" ({} of them cached)", usage.n_cached) : "";
  return fmt::format("{} tokens at {:.1f}/s; prompt {} tokens{} at {:.1f}/s", usage.n_generated,
                     per_second(usage.n_generated, usage.generate_seconds), usage.n_prompt, cached,
                     per_second(usage.n_prompt - usage.n_cached, usage.prompt_seconds));
}

Json usage_json(const link::Usage& usage) {
  return {{"prompt_tokens", usage.n_prompt},        {"cached_tokens", usage.n_cached},
          {"completion_tokens", usage.n_generated}, {"queue_seconds", usage.queue_seconds},
          {"prompt_seconds", usage.prompt_seconds}, {"generate_seconds", usage.generate_seconds}};
}

std::string_view finish_reason_name(link::FinishReason reason) {
  switch (reason) {
    case link::FinishReason::kStop:
      return "stop";
    case link::FinishReason::kLength:
      return "length";
    case link::FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

}  // namespace maru::app
