// The discovery's messages as bytes: between the plain values of domain/table.h and proto/colony/discovery/v1. The
// protobuf types stay in wire.cc. Decoding checks what the wire cannot promise and names the field.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "domain/table.h"

namespace colony::discovery::wire {

inline constexpr std::string_view kService = "colony.discovery.v1.Discovery";

struct Withdraw {
  std::string app;
  uint64_t epoch = 0;
};
struct Register {
  ProxyRecord record;
  Duration lease{};
};
struct Acknowledge {
  std::string proxy;
  uint64_t revision = 0;
};
struct Pushed {
  TableUpdate update;
  std::string instance;
};

std::string encode(const AppRecord& record);
std::string encode(const Withdraw& request);
std::string encode(const Register& request);
std::string encode(const Acknowledge& request);
std::string encode(const Pushed& pushed);
std::string encode_unregister(const std::string& id);

Result<AppRecord> decode_publish(std::string_view bytes);
Result<Withdraw> decode_withdraw(std::string_view bytes);
Result<Register> decode_register(std::string_view bytes);
Result<Acknowledge> decode_acknowledge(std::string_view bytes);
Result<Pushed> decode_pushed(std::string_view bytes);
Result<std::string> decode_unregister(std::string_view bytes);

}  // namespace colony::discovery::wire
