// text/continue_message.h - cuts a rendered conversation where its last message ends, so that a
// model goes on with that message instead of beginning another.
//
// The engine host calls it for an answer that was stopped or reached its limit. It knows nothing of
// templates: what follows the message (its end-of-turn token) is found by the message's own text.
// Threads: any.
#pragma once
#include <string_view>

#include "base/result.h"
#include "text/span.h"

namespace maru::text {

// The spans up to the end of the last place where data reads `message` (without the white space
// around it where a template trims).
// Errors: kUnsupported where the template did not write the message as it is; kInvalidArgument for
// a message that is empty.
Result<Spans> cut_after_message(Spans spans, std::string_view message);

}  // namespace maru::text
