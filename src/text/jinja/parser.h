// text/jinja/parser.h - tokens to a Template.
//
// ChatTemplate::parse() calls it once. Unknown filters and tests are refused here, except below an
// `if`, where Jinja refuses them only when they are reached.
// Source: Jinja 3.1 template designer documentation; grammar of expressions by its precedence list.
#pragma once
#include <memory>
#include <string_view>

#include "base/result.h"
#include "text/jinja/ast.h"

namespace maru::text::jinja {

// Errors: kInvalidArgument with line and column; kResourceExhausted for a template larger than
// kTemplateBytesMax or nested deeper than kTemplateDepthMax.
Result<std::unique_ptr<Template>> parse_template(std::string_view source);

}  // namespace maru::text::jinja
