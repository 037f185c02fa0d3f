// link/wire.h - the messages of the engine protocol as JSON text and back, strictly checked.
//
// SocketClient and the two hosts (real and scripted) call it. It must not know sockets or what a
// command means. Source: docs/formats/engine-protocol.md. Threads: free functions.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "link/messages.h"

namespace maru::link {

using RequestId = uint64_t;

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr int kEngineFd = 3;  // where an engine process finds its end of the socket
inline constexpr int kKvFileFd = 5;  // and the file of conversations, where Load says there is one
inline constexpr size_t kFrameDepthMax = kJsonDepthMax + 4;
inline constexpr size_t kWireIdsMax = 1 << 20;

struct Hello {
  uint32_t version = kProtocolVersion;
  bool operator==(const Hello&) const = default;
};

struct DetokenizeRequest {
  std::vector<TokenId> ids;
};
struct CancelRequest {};
struct StatsRequest {};
struct PingRequest {};
// A command whose name is reserved ("rerank"): known, not served yet.
struct ReservedRequest {
  std::string type;
};
using Command = std::variant<Hello, LoadRequest, GenerateRequest, ScoreRequest, EmbedRequest,
                             TokenizeRequest, DetokenizeRequest, RenderRequest, StatsRequest,
                             PingRequest, CancelRequest, ReservedRequest>;

struct TokenIds {
  std::vector<TokenId> ids;
};
struct Bytes {
  std::string bytes;
};
// Says that the engine lives, and by a count that has moved that it works.
struct Pong {
  uint64_t n_work = 0;
};
using EventBody = std::variant<Hello, ModelCard, Started, Progress, Delta, Done, Failed,
                               engine::ScoreRow, engine::ScoreDone, engine::EmbedRow,
                               engine::EmbedDone, TokenIds, Bytes, EngineStats, Loading, Pong>;

std::string encode_command(RequestId id, const Command& command);
std::string encode_event(RequestId id, const EventBody& event);

// What every frame has; the rest is decoded in a second step, so that a bad field can be answered
// under the frame's id.
struct Envelope {
  std::string type;
  RequestId id = 0;
  Json fields;  // the whole object
};
// Errors: kCorrupt where this is no object with `type` and `id`.
Result<Envelope> open_frame(std::string_view payload);

// Errors: kInvalidArgument naming the field in Error::param; kCorrupt for an unknown type.
Result<Command> decode_command(const Envelope& envelope);
Result<EventBody> decode_event(const Envelope& envelope);

}  // namespace maru::link
