// `maru rm MODEL...`: deletes models from the store.
#include "app/session.h"
#include "app/terminal.h"

namespace maru::app {
namespace {

int run_rm(const Session& session, const std::vector<std::string>& names) {
  const auto store = hub::Store::open(session.config.home);
  if (!store.ok()) return fail(store.error());
  int code = kExitOk;
  for (const std::string& name : names) {
    const auto removed = store->remove(name);
    if (removed.ok()) {
      print("deleted {} ({})\n", removed->name, human_bytes(removed->bytes));
    } else {
      code = fail(removed.error());
    }
  }
  return code;
}

}  // namespace

void add_rm(Session& session) {
  const Command command = session.add_command("rm", "Delete models from this machine");
  auto names = std::make_shared<std::vector<std::string>>();
  command.add_option("MODEL", *names, "names as in `maru list`").required();
  command.runs([&session, names] { return run_rm(session, *names); });
}

}  // namespace maru::app
