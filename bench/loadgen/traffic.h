// What is asked, and how a reply is checked against its request. Every request carries a stamp of its own, so that a
// reply that belongs to another request, or is cut, is seen. Bodies are never built: a body is a constant text, the stamp
// and a slice of one block of noise that all threads share.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace colony::loadgen {

// raw: an echo is expected, byte for byte. oip: inference over REST, one FP32 number or many, JSON. grpc: the same as ModelInfer
// (or an echo of that message).
enum class Form : uint8_t { kRaw, kOip, kGrpc };

// One kind of request of the mix. Immutable once made; shared by all threads.
struct Kind {
  std::string name;
  Form form = Form::kRaw;
  std::string path = "/echo";
  std::string model = "echo";
  std::string tensor = "x";  // the name of oip's and grpc's one input
  size_t bytes = 256;        // of a raw body; at least kStamp
  size_t numbers = 1;        // of oip's input; the first is the stamp, the others are always the same
  double weight = 1;
  double abort = 0;     // share of requests that the client leaves in the middle of
  std::string headers;  // more of them: "name: value\r\n..."

  static constexpr size_t kStamp = 16;

  // Set by parse_kind.
  std::string head;    // HTTP/1.1
  std::string before;  // of the stamp, in the body
  std::string after;   // of it, for all but raw
  size_t body_size = 0;
};

// "raw,path=/echo,bytes=256,weight=99,abort=0.01,header=x-a: b" -> Kind. The error names the key and what would be right.
std::expected<Kind, std::string> parse_kind(std::string_view text, std::string_view authority);

// The body of the request with this serial: pieces that stay valid as long as `stamp`, `kind` and the process do.
struct Body {
  std::array<char, Kind::kStamp> stamp;
  size_t stamp_size = 0;
  std::string_view noise;

  Body() = default;
  Body(const Kind& kind, uint64_t serial);
  // Pieces from byte `at` on; returns how many.
  size_t pieces(const Kind& kind, size_t at, std::array<iovec, 3>& out) const;
};

// Follows one reply. feed() what comes, then ask good() once at the end.
class ReplyCheck {
 public:
  void begin(const Kind& kind, uint64_t serial);
  void feed(std::string_view bytes);
  bool good() const;

 private:
  const Kind* kind_ = nullptr;
  Body body_;
  uint64_t serial_ = 0;
  size_t at_ = 0;
  bool same_ = true;
  std::string kept_;  // of replies that are not echoes. LIMIT: the first 64 KiB
};

}  // namespace colony::loadgen
