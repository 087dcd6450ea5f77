// The chunked coding of HTTP/1.1 bodies (RFC 9112, 7.1), strictly: CRLF only, a bounded size line, no sign or white space
// before a size, trailers that are proper fields and none that frames a message. Pure, keeps no bytes, no allocation.
// Fuzzed (chunked_fuzz.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace colony::http {

inline constexpr size_t kMaxChunkLine = 256;           // LIMIT: size and extensions of one chunk
inline constexpr size_t kMaxTrailerBytes = 16 * 1024;  // LIMIT
inline constexpr uint64_t kMaxChunk = uint64_t{1} << 59;

class ChunkedDecoder {
 public:
  enum class Event : uint8_t {
    kNeedMore,  // show the bytes from data[used] again together with more
    kData,      // `piece` is body; call again with the bytes from data[used]
    kEnd,       // the body is over; `piece` holds the trailer lines with their CRLFs, without the empty line
    kBad,       // `piece` says what is wrong
  };
  void reset() { state_ = State::kSize, left_ = 0; }
  // Looks at `data`, which begins where the previous call ended. `used`: bytes of `data` that are done with. A piece of
  // body has at most `max_piece` bytes (above zero).
  Event next(std::string_view data, size_t& used, std::string_view& piece, size_t max_piece = SIZE_MAX);

 private:
  enum class State : uint8_t { kSize, kData, kDataEnd, kTrailers };
  Event size_line(std::string_view data, size_t& used, std::string_view& piece);
  State state_ = State::kSize;
  uint64_t left_ = 0;  // of the current chunk
};

// "1a4\r\n"; `out` has room for kChunkHeadBytes. Returns the length.
inline constexpr size_t kChunkHeadBytes = 18;
size_t write_chunk_head(char* out, uint64_t size);

// Why a body's trailers are refused, whatever carried them.
inline constexpr std::string_view kLargeTrailers = "the trailers are larger than 16 KiB";
inline constexpr std::string_view kBadTrailer = "a trailer is malformed, or is a field that may not be one";

// `lines` are whole fields ("name: value\r\n"), of which none frames or routes a message. Empty is fine.
bool valid_trailers(std::string_view lines);

}  // namespace colony::http
