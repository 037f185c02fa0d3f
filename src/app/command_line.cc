#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "app/session.h"

namespace maru::app {

Option Option::required() const {
  option_->required();
  return *this;
}

Option Option::excludes(Option other) const {
  option_->excludes(other.option_);
  return *this;
}

Option Option::range(size_t least, size_t most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option Option::value_name(const std::string& name) const {
  option_->type_name(name);
  return *this;
}

Option Option::one_value_each() const {
  option_->allow_extra_args(false);
  return *this;
}

Option Option::hidden() const {
  option_->group("");
  return *this;
}

bool Option::given() const { return option_->count() > 0; }

Option Command::add_option(const std::string& name, std::string& value,
                           const std::string& help) const {
  return Option(app_->add_option(name, value, help));
}

Option Command::add_option(const std::string& name, size_t& value, const std::string& help) const {
  return Option(app_->add_option(name, value, help));
}

Option Command::add_option(const std::string& name, int& value, const std::string& help) const {
  return Option(app_->add_option(name, value, help));
}

Option Command::add_option(const std::string& name, std::vector<std::string>& values,
                           const std::string& help) const {
  return Option(app_->add_option(name, values, help));
}

Option Command::add_option(const std::string& name, std::vector<int32_t>& values,
                           const std::string& help) const {
  return Option(app_->add_option(name, values, help));
}

Option Command::add_flag(const std::string& name, bool& value, const std::string& help) const {
  return Option(app_->add_flag(name, value, help));
}

Option Command::add_setter(const std::string& name,
                           std::function<Result<void>(const std::string&)> setter,
                           const std::string& help) const {
  return Option(app_->add_option_function<std::string>(
      name,
      [setter = std::move(setter)](const std::string& value) {
        if (const auto set = setter(value); !set.ok()) {
          throw CLI::ValidationError(set.error().message);  // CLI11's way to refuse a value
        }
      },
      help));
}

void Command::add_setting(const std::string& key, const std::string& help) const {
  std::string flag = "--" + key;
  std::ranges::replace(flag, '_', '-');
  add_setter(
      flag,
      [session = session_, key](const std::string& value) -> Result<void> {
        session->overrides.emplace_back(key, value);
        return {};
      },
      help);
}

void Command::add_engine_script() const {
  app_->add_option("--engine-script", session_->engine_script)->group("");
}

Command Command::add_command(const std::string& name, const std::string& help) const {
  return {app_->add_subcommand(name, help), session_};
}

void Command::alias(const std::string& name) const { app_->alias(name); }
void Command::hide() const { app_->group(""); }

void Command::runs(std::function<int()> body) const {
  app_->callback([app = app_, session = session_, body = std::move(body)] {
    if (app->get_subcommands().empty()) session->command = body;
  });
}

void Command::runs_without_config(std::function<int()> body) const {
  app_->callback([session = session_, body = std::move(body)] {
    session->needs_config = false;
    session->command = body;
  });
}

// The usage line begins with the name of the program.
std::string Command::help() const { return app_->help(app_->get_parent()->get_name()); }

Command Session::add_command(const std::string& name, const std::string& help) {
  return {root->add_subcommand(name, help), this};
}

std::optional<Command> Session::find_command(const std::string& name) {
  const auto named = root->get_subcommands([&](CLI::App* c) { return c->check_name(name); });
  return named.empty() ? std::nullopt : std::optional(Command(named.front(), this));
}

std::string Session::help() const { return root->help(); }

}  // namespace maru::app
