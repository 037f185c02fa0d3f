#include "link/in_process.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "link/socket_client.h"

namespace maru::link {
namespace {

class ThreadPeer final : public Peer {
 public:
  ThreadPeer(EngineMain engine_main, int fd)
      : thread_([engine_main = std::move(engine_main), fd] {
          engine_main(fd);
          ::close(fd);
        }) {}

  ~ThreadPeer() override {
    if (thread_.joinable()) thread_.join();
  }

  std::string wait_end() override {
    thread_.join();
    return "the engine thread ended";
  }

 private:
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Client>> start_in_process(EngineMain engine_main, const LoadRequest& load,
                                                 const StartOptions& start) {
  return start_socket_client(
      [engine_main = std::move(engine_main)]() -> Result<Connection> {
        int sockets[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
          return Error::io("cannot make a socket pair");
        }
        return Connection{sockets[0], std::make_unique<ThreadPeer>(engine_main, sockets[1])};
      },
      load, start);
}

}  // namespace maru::link
