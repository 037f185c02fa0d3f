#include "link/wire.h"

#include <fmt/format.h>

namespace maru::link {

Result<Envelope> open_frame(std::string_view payload) {
  auto parsed = parse_json(payload, kFrameDepthMax);
  if (!parsed.ok()) return Error::corrupt("a frame is no JSON: " + parsed.error().message);
  Envelope envelope{.type = {}, .id = 0, .fields = std::move(parsed).value()};
  if (!envelope.fields.is_object()) return Error::corrupt("a frame is no JSON object");
  const auto type = envelope.fields.find("type");
  const auto id = envelope.fields.find("id");
  if (type == envelope.fields.end() || !type->is_string()) {
    return Error::corrupt("a frame has no type");
  }
  if (id == envelope.fields.end() || !id->is_number_unsigned()) {
    return Error::corrupt("a frame has no id");
  }
  envelope.type = type->get<std::string>();
  envelope.id = id->get<uint64_t>();
  return envelope;
}

}  // namespace maru::link
