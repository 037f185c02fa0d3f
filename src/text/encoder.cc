#include "text/encoder.h"

#include "base/hex.h"

namespace maru::text {
void append_with_spaces(std::string_view piece, std::string& out) {
  while (!piece.empty()) {
    const size_t mark = std::min(piece.find(kSpaceMark), piece.size());
    out.append(piece.substr(0, mark));
    piece.remove_prefix(mark);
    if (!piece.empty()) {
      out.push_back(' ');
      piece.remove_prefix(kSpaceMark.size());
    }
  }
}

std::string with_space_marks(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) {
    if (c == ' ') {
      out.append(kSpaceMark);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const int high = hex_digit(piece[3]);
  const int low = hex_digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace maru::text
