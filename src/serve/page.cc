// serve/page.cc - picks the encoding, answers 304, and says how long a file may be kept.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "serve/errors.h"
#include "serve/page.h"

namespace maru::serve {
namespace {

constexpr std::string_view kNotBuilt =
    "The page was not built into this binary: run `npm ci && npm run build` in web/ and build "
    "again. The API works without it.";

// True where Accept-Encoding lists the coding and does not give it q=0 (RFC 9110, section 12.5.3).
bool accepts(std::string_view accept_encoding, std::string_view coding) {
  while (!accept_encoding.empty()) {
    const size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    std::string item(accept_encoding.substr(0, comma));
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    std::erase(item, ' ');
    const size_t semicolon = item.find(';');
    if (std::string_view(item).substr(0, semicolon) != coding) continue;
    if (semicolon == std::string::npos) return true;
    const std::string weight = item.substr(semicolon + 1);
    return !weight.starts_with("q=") || weight.find_first_of("123456789") != std::string::npos;
  }
  return false;
}

// Requires: files is not empty and all have one path.
const PageFile* choose(std::span<const PageFile> files, std::string_view accept_encoding) {
  for (const std::string_view coding : {"br", "gzip", ""}) {
    const auto file = std::ranges::find(files, coding, &PageFile::encoding);
    if (file == files.end()) continue;
    if (coding.empty() || accepts(accept_encoding, coding)) return &*file;
  }
  return &files.front();
}

Response page_response(std::span<const PageFile> files, const Request& request) {
  const PageFile& file = *choose(files, request.header("accept-encoding"));
  // Names below /assets/ carry a hash of the content, so they never change; the rest is asked for
  // again each time and answered by 304.
  const bool immutable = file.path.starts_with("/assets/");
  Response response;
  response.headers.push_back({"ETag", std::string(file.etag)});
  response.headers.push_back({"Vary", "Accept-Encoding"});
  response.headers.push_back(
      {"Cache-Control", immutable ? "public, max-age=31536000, immutable" : "no-cache"});
  if (request.header("if-none-match").find(file.etag) != std::string_view::npos) {
    response.status = 304;
    return response;
  }
  response.content_type = file.content_type;
  if (!file.encoding.empty()) {
    response.headers.push_back({"Content-Encoding", std::string(file.encoding)});
  }
  response.static_body = file.bytes;
  return response;
}

}  // namespace

void add_page_routes(Router& router, std::span<const PageFile> files) {
  bool has_index = false;
  for (size_t first = 0; first < files.size();) {
    size_t end = first;
    while (end < files.size() && files[end].path == files[first].path) ++end;
    const auto same = files.subspan(first, end - first);
    const Handler handler = [same](std::shared_ptr<const Request> request,
                                   std::shared_ptr<ResponseWriter> writer) {
      writer->send(page_response(same, *request));
    };
    router.add("GET", std::string(files[first].path), RunOn::kIoThread, handler);
    if (files[first].path == "/index.html") {
      router.add("GET", "/", RunOn::kIoThread, handler);
      has_index = true;
    }
    first = end;
  }
  if (has_index) return;
  router.add("GET", "/", RunOn::kIoThread,
             [](std::shared_ptr<const Request>, std::shared_ptr<ResponseWriter> writer) {
               writer->send(http_error(503, kNotBuilt, "page_not_built"));
             });
}

}  // namespace maru::serve
