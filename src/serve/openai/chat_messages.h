// serve/openai/chat_messages.h - checks the conversation of a chat request and brings it into the
// shape that chat templates read.
//
// What changes on the way: role developer becomes system, text parts become one string joined by
// line ends, tool-call arguments given as JSON text become the object that the text holds.
// Threads: free functions without state.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "serve/fields.h"

namespace maru::serve::openai {

// messages may be null (absent). Keys that no template reads are named in fields.ignored().
// Errors: kInvalidArgument, kUnsupported, naming "messages[3].content" and the like.
Result<Json> read_messages(const Json* messages, Fields& fields);

// A string, or text parts joined by line ends. Errors: as above.
Result<std::string> read_content(const Json& content, const std::string& where);

}  // namespace maru::serve::openai
