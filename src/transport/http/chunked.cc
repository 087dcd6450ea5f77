// The chunked decoder: a state per place in the coding; every call walks as far as one event.
#include "transport/http/chunked.h"

#include <algorithm>

#include "transport/http/head.h"

namespace colony::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = c | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

enum class Line : uint8_t { kOk, kNeedMore, kBad };

// The extensions behind a chunk's size (RFC 9112, 7.1.1), of which none is known: they are read past. `at` is moved to the
// CR that ends the line. WHY strictly: what stands here was used to hide the line's end from another parser.
Line chunk_extensions(std::string_view s, size_t& at) {
  const auto space = [&] {
    while (at < s.size() && (s[at] == ' ' || s[at] == '\t')) ++at;
    return at < s.size();
  };
  const auto token = [&] {
    const size_t from = at;
    while (at < s.size() && is_token(s.substr(at, 1))) ++at;
    return at > from;
  };
  for (;;) {
    const size_t from = at;
    if (!space()) return Line::kNeedMore;
    if (s[at] == '\r') return at == from ? Line::kOk : Line::kBad;
    if (s[at++] != ';') return Line::kBad;
    if (!space()) return Line::kNeedMore;
    if (!token()) return Line::kBad;
    const size_t behind_name = at;
    if (!space()) return Line::kNeedMore;
    if (s[at] != '=') {
      at = behind_name;
      continue;
    }
    ++at;
    if (!space()) return Line::kNeedMore;
    if (s[at] != '"') {
      if (!token()) return Line::kBad;
      continue;
    }
    for (++at;; ++at) {
      if (at == s.size()) return Line::kNeedMore;
      if (s[at] == '"') break;
      if (s[at] == '\\' && ++at == s.size()) return Line::kNeedMore;
      if (!is_field_value(s.substr(at, 1))) return Line::kBad;
    }
    ++at;
  }
}

// One trailer field at the start of `data`; `size` is its length with CRLF.
Line trailer_line(std::string_view data, size_t& size) {
  const size_t colon = std::min(data.find_first_of(":\r\n"), data.size());
  if (colon > 0 && !is_token(data.substr(0, colon))) return Line::kBad;
  if (colon == data.size()) return Line::kNeedMore;
  if (colon == 0 || data[colon] != ':') return Line::kBad;
  const size_t end = std::min(data.find_first_of("\r\n", colon), data.size());
  if (!is_field_value(data.substr(colon + 1, end - colon - 1))) return Line::kBad;
  if (end == data.size() || (data[end] == '\r' && end + 1 == data.size())) return Line::kNeedMore;
  if (data[end] != '\r' || data[end + 1] != '\n') return Line::kBad;
  const std::string_view name = data.substr(0, colon);
  for (std::string_view no : {"content-length", "transfer-encoding", "host", "connection", "trailer", "te", "upgrade",
                              "content-encoding", "content-type", "content-range", "authorization"})
    if (iequals(name, no)) return Line::kBad;
  if (tells_origin(name)) return Line::kBad;
  size = end + 2;
  return Line::kOk;
}

}  // namespace

bool valid_trailers(std::string_view lines) {
  if (lines == "grpc-status: 0\r\n") return true;  // nearly all that there are
  while (!lines.empty()) {
    size_t size = 0;
    if (trailer_line(lines, size) != Line::kOk) return false;
    lines.remove_prefix(size);
  }
  return true;
}

size_t write_chunk_head(char* out, uint64_t size) {
  size_t digits = 1;
  while (digits < 16 && (size >> (digits * 4)) != 0) ++digits;
  for (size_t i = 0; i < digits; ++i) out[i] = "0123456789abcdef"[(size >> ((digits - 1 - i) * 4)) & 15];
  out[digits] = '\r';
  out[digits + 1] = '\n';
  return digits + 2;
}

ChunkedDecoder::Event ChunkedDecoder::size_line(std::string_view data, size_t& used, std::string_view& piece) {
  const auto bad = [&](std::string_view why) {
    piece = why;
    return Event::kBad;
  };
  uint64_t size = 0;
  size_t i = 0;
  for (; i < data.size() && hex_digit(data[i]) >= 0; ++i) {
    if (i == 15) return bad("a chunk's size has more than 15 digits");
    size = size * 16 + static_cast<uint64_t>(hex_digit(data[i]));
  }
  if (i == data.size()) return Event::kNeedMore;
  if (i == 0) return bad("a chunk's size is not a hexadecimal number");
  if (size > kMaxChunk) return bad("a chunk's size is too large");
  if (data[i] == ';' || data[i] == ' ' || data[i] == '\t') {
    const Line outcome = chunk_extensions(data.substr(0, kMaxChunkLine), i);
    if (outcome == Line::kNeedMore && data.size() >= kMaxChunkLine)
      return bad("a chunk's extensions are longer than 256 bytes");
    if (outcome == Line::kNeedMore) return Event::kNeedMore;
    if (outcome == Line::kBad) return bad("a chunk's extensions are malformed");
  }
  if (data[i] != '\r') return bad("a chunk's size is not followed by CRLF");
  if (i + 1 == data.size()) return Event::kNeedMore;
  if (data[i + 1] != '\n') return bad("a chunk's size is not followed by CRLF");
  used += i + 2;
  left_ = size;
  state_ = size > 0 ? State::kData : State::kTrailers;
  return Event::kData;
}

ChunkedDecoder::Event ChunkedDecoder::next(std::string_view data, size_t& used, std::string_view& piece,
                                           size_t max_piece) {
  used = 0;
  piece = {};
  for (;;) {
    const std::string_view rest = data.substr(used);
    switch (state_) {
      case State::kSize:
        if (const Event e = size_line(rest, used, piece); e != Event::kData) return e;
        break;
      case State::kData:
        if (rest.empty()) return Event::kNeedMore;
        piece = rest.substr(0, std::min<uint64_t>(left_, std::min(rest.size(), max_piece)));
        used += piece.size();
        left_ -= piece.size();
        if (left_ == 0) state_ = State::kDataEnd;
        return Event::kData;
      case State::kDataEnd:
        if (rest.empty() || (rest.size() == 1 && rest[0] == '\r')) return Event::kNeedMore;
        if (rest[0] != '\r' || rest[1] != '\n') {
          piece = "a chunk is not followed by CRLF";
          return Event::kBad;
        }
        used += 2;
        state_ = State::kSize;
        break;
      case State::kTrailers: {
        size_t at = 0;
        for (;;) {
          const std::string_view line = rest.substr(at);
          if (line.starts_with("\r\n")) {
            piece = rest.substr(0, at);
            used += at + 2;
            return Event::kEnd;
          }
          size_t size = 0;
          const bool begun = !line.empty() && line != "\r";
          // No line is looked at beyond what is left of the bound, whatever follows the trailers.
          const Line outcome = begun ? trailer_line(line.substr(0, kMaxTrailerBytes - at + 2), size) : Line::kNeedMore;
          if (outcome != Line::kBad && at + (outcome == Line::kOk ? size : line.size()) > kMaxTrailerBytes) {
            piece = kLargeTrailers;
            return Event::kBad;
          }
          if (outcome == Line::kNeedMore) return Event::kNeedMore;
          if (outcome == Line::kBad) {
            piece = kBadTrailer;
            return Event::kBad;
          }
          at += size;
        }
      }
    }
  }
}

}  // namespace colony::http
