// serve/page.h - the browser page, embedded in the binary, and its routes.
//
// The list is generated from web/dist by tools/embed_page.py when the binary is built; without
// web/dist it is empty and `/` answers 503 with a sentence that says so.
// Threads: the list is constant.
#pragma once
#include <span>
#include <string_view>

#include "serve/http.h"

namespace maru::serve {

struct PageFile {
  std::string_view path;          // "/index.html"
  std::string_view content_type;  // "text/html; charset=utf-8"
  std::string_view encoding;      // "br", "gzip", or empty for the plain bytes
  std::string_view etag;          // with its quotes
  std::string_view bytes;
};

// Sorted by path; each path has its plain bytes and at most one file per encoding.
std::span<const PageFile> page_files();

// Adds GET routes for every path of the list, and `/` for "/index.html".
// Requires: the list lives as long as the router.
void add_page_routes(Router& router, std::span<const PageFile> files);

}  // namespace maru::serve
