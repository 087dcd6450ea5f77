// For the tests of gRPC at a replica: requests over a frame link.
#pragma once

#include <string>

#include "request/replica/replica_test_support.h"
#include "transport/grpc/framing.h"

namespace colony::replica::testing {

inline std::string grpc_head(std::string_view method) {
  return "POST /inference.GRPCInferenceService/" + std::string(method) +
         " HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\nte: trailers\r\n\r\n";
}

// A field of protobuf's that has a length.
inline std::string proto_field(int number, std::string_view content) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  size_t left = content.size();
  for (; left >= 0x80; left >>= 7) out += static_cast<char>(left | 0x80);
  return out.append(1, static_cast<char>(left)).append(content);
}

// "x" as one BYTES element in a ModelInferRequest, within gRPC's framing.
inline std::string grpc_message(const std::string& text, const std::string& id = "") {
  const std::string tensor =
      proto_field(1, "x") + proto_field(2, "BYTES") + proto_field(3, "\x01") + proto_field(5, proto_field(8, text));
  std::string out;
  grpc::append_message(out, proto_field(1, "m") + proto_field(3, id) + proto_field(5, tensor));
  return out;
}

}  // namespace colony::replica::testing
