// grpc-timeout, grpc-message and the trailer lines from a peer: arbitrary text must give an answer, and what we write
// must read back.
#include <string>
#include <string_view>

#include "base/check.h"
#include "transport/grpc/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto d = colony::grpc::parse_timeout(text)) {
    CHECK(d->count() >= 0);
    const auto again = colony::grpc::parse_timeout(colony::grpc::format_timeout(*d));
    CHECK(again && *again >= *d);
  }
  if (size < 1000) CHECK(colony::grpc::decode_message(colony::grpc::encode_message(text)) == text);
  colony::grpc::decode_message(text);
  const auto status = colony::grpc::status_from_trailers(text);
  if (!status) CHECK(status.error().code != colony::Code::kOk);
  return 0;
}
