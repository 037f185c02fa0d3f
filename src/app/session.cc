#include "app/session.h"

namespace maru::app {

void Session::add_setting(CLI::App* to, const std::string& key, const std::string& help) {
  to->add_option_function<std::string>(
      "--" + key, [this, key](const std::string& value) { overrides.emplace_back(key, value); },
      help);
}

void Session::add_engine_script(CLI::App* to) {
  to->add_option("--engine-script", engine_script)->group("");
}

const CLI::App* Session::find_command(const std::string& name) const {
  const auto named = root->get_subcommands([&](CLI::App* c) { return c->check_name(name); });
  return named.empty() ? nullptr : named.front();
}

}  // namespace maru::app
