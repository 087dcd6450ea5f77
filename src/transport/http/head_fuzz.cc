// The head parsers on arbitrary bytes: nothing is read outside, what is accepted has the promised form, and what is
// forwarded reads as the same head again. The verdict does not depend on how the bytes were cut.
#include <cstring>
#include <memory>
#include <string>

#include "base/check.h"
#include "transport/http/head.h"

namespace colony::http {
namespace {

template <class Head, class Parse>
void run(std::string_view data, size_t cut, Parse parse) {
  Head head;
  ParseError error;
  const ParseState state = parse(data, head, error);
  Head part;
  ParseError part_error;
  auto exact = std::make_unique<char[]>(cut);
  if (cut > 0) std::memcpy(exact.get(), data.data(), cut);
  const ParseState early = parse({exact.get(), cut}, part, part_error);
  CHECK(early != ParseState::kComplete || (state == ParseState::kComplete && head.block.size() <= cut));
  CHECK(early != ParseState::kBad || state == ParseState::kBad);
  if (state == ParseState::kBad) CHECK(!error.message.empty() && error.status >= 400);
  if (state != ParseState::kComplete) return;

  CHECK(head.block.data() == data.data() && head.block.ends_with("\r\n\r\n") && head.block.size() <= kMaxHeadBytes);
  CHECK(!(head.chunked && head.content_length));
  uint32_t hops = 0;
  for (const Field& f : head.fields()) {
    CHECK(is_token(f.name) && is_field_value(f.value) && f.line.ends_with("\r\n"));
    CHECK(f.value.empty() || (f.value.front() != ' ' && f.value.back() != ' '));
    hops += f.hop_by_hop;
  }
  CHECK(hops == head.hop_fields);
  if (head.count + 2 > kMaxFields || 2 * head.start_line.size() + head.block.size() + 20 > kMaxHeadBytes) return;
  uint32_t travels = head.count - hops + 1;
  if constexpr (requires { head.as_received; }) {
    if (!head.as_received) {  // Host is written anew; HTTP/1.0 knows no Expect
      ++travels;
      for (const Field& f : head.fields())
        travels -= !f.hop_by_hop && (iequals(f.name, "host") || (head.http10 && iequals(f.name, "expect")));
    }
  }
  std::string forwarded;
  append_forwardable(forwarded, head, "x-f: 1\r\n");
  Head again;
  CHECK(parse(forwarded, again, error) == ParseState::kComplete);
  CHECK(again.hop_fields == 0 && again.count == travels && !again.chunked);
  if constexpr (requires { head.status; })
    if (head.status < 200 || head.status == 204) head.content_length.reset();  // it was 0 and does not travel
  CHECK(again.content_length == head.content_length);
}

}  // namespace
}  // namespace colony::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace colony::http;
  if (size < 2) return 0;
  const std::string_view data(reinterpret_cast<const char*>(bytes) + 2, size - 2);
  const size_t cut = (bytes[0] | size_t{bytes[1]} << 8) % (data.size() + 1);
  run<RequestHead>(data, cut, parse_request_head);
  run<ReplyHead>(data, cut, parse_reply_head);
  return 0;
}
