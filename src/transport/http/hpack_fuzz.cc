// HPACK decoding against another implementation: a sequence of header blocks is read the same by both, or refused by both
// at the same block; and what is read can be written and read again. Input: blocks, each behind its length in one byte (255
// and more: two bytes, 255 first).
#include <cstdint>
#include <string>

#include "base/check.h"
#include "transport/http/hpack_decoder.h"
#include "transport/http/hpack_encoder.h"
#include "transport/http/hpack_nghttp2.h"

namespace colony::http {
namespace {

uint32_t sum(std::string_view name, std::string_view value) {
  uint32_t n = 7;
  for (const char c : name) n = n * 31 + static_cast<uint8_t>(c);
  for (const char c : value) n = n * 37 + static_cast<uint8_t>(c);
  return n;
}

// False: refused.
bool run(std::string_view block, HpackDecoder& decoder, HpackTable& table, testing::HpackReference& reference,
         HpackEncoder& encoder, testing::HpackReference& client) {
  std::string scratch;
  testing::HpackList list;
  decoder.begin(table, block, scratch);
  bool bad = false;
  for (HpackField field;;) {
    const HpackDecoder::Next next = decoder.next(field);
    bad = next == HpackDecoder::Next::kBad;
    if (next != HpackDecoder::Next::kField) break;
    CHECK(field.line().substr(field.name_size, 2) == ": " && field.line().ends_with("\r\n"));
    CHECK(field.mark == sum(field.name(), field.value()));
    list.emplace_back(std::string(field.name()), std::string(field.value()));
  }
  const auto theirs = reference.decode(block);
  CHECK(bad == !theirs.has_value());
  if (bad) return false;
  CHECK(list == *theirs);

  if (block.size() % 7 == 6) {
    encoder.set_limit(static_cast<uint32_t>(block.size()) * 5);
    client.set_limit(block.size() * 5);
  }
  size_t most = HpackEncoder::kBegin;
  for (const auto& [name, value] : list) most += name.size() + value.size() + HpackEncoder::kPerField;
  std::string out(most, '\0');
  char* end = encoder.status(encoder.begin(out.data()), 200 + static_cast<int>(block.size() % 300));
  for (const auto& [name, value] : list) end = encoder.field(end, name, value);
  out.resize(static_cast<size_t>(end - out.data()));
  auto again = client.decode(out);
  CHECK(again.has_value() && !again->empty() && again->front().first == ":status");
  again->erase(again->begin());
  CHECK(*again == list);
  return true;
}

}  // namespace
}  // namespace colony::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony::http;
  static const HpackMarks marks(sum);
  HpackDecoder decoder(marks);
  HpackTable table;
  HpackEncoder encoder;
  testing::HpackReference reference, client;
  std::string_view in(reinterpret_cast<const char*>(data), size);
  while (!in.empty()) {
    size_t n = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    if (n == 255 && !in.empty()) {
      n += static_cast<uint8_t>(in.front()) * size_t{64};
      in.remove_prefix(1);
    }
    n = std::min(n, in.size());
    if (!run(in.substr(0, n), decoder, table, reference, encoder, client)) break;
    in.remove_prefix(n);
  }
  return 0;
}
