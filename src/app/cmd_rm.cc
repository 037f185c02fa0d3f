// `maru rm MODEL...`: deletes models from the store, and what is kept of their conversations.
#include "app/kv_file.h"
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
      std::error_code ignored;  // a model that nobody talked to has no such file
      std::filesystem::remove(KvFile::path_for(session.config.home, removed->path), ignored);
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
