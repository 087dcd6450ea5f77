// x-forwarded-for is added as a line of its own: several lines of one list field are one list (RFC 9110, 5.3), so an
// existing one is extended without being rewritten.
#include "request/proxy/forward/request_fields.h"

#include <algorithm>
#include <charconv>

#include "observe/trace.h"
#include "transport/grpc/status.h"

namespace colony::proxy {
namespace {

void append_hex(std::string& out, uint64_t v) {
  constexpr char kHex[] = "0123456789abcdef";
  char text[16];
  for (size_t i = 0; i < 16; ++i) text[i] = kHex[v >> (60 - 4 * i) & 15];
  out.append(text, 16);
}

std::string_view host_of(std::string_view peer) {
  const size_t colon = peer.rfind(':');
  if (colon == std::string_view::npos) return peer;
  std::string_view host = peer.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

RequestFields read_fields(const http::RequestHead& head) {
  RequestFields out;
  for (const http::Field& f : head.fields()) {
    switch (f.name.size()) {
      case 11:
        if (http::iequals(f.name, "traceparent")) {
          const bool good = observe::parse_traceparent(f.value).has_value();
          (good ? out.traceparent : out.bad_traceparent) = good ? f.value : f.line;
        }
        break;
      case 12:
        if (http::iequals(f.name, "x-request-id")) {
          const bool good = observe::valid_request_id(f.value);
          (good ? out.request_id : out.bad_request_id) = good ? f.value : f.line;
        } else if (http::iequals(f.name, "content-type")) {
          out.grpc = grpc::is_grpc_content_type(f.value);
        } else if (http::iequals(f.name, "grpc-timeout")) {
          if (auto t = grpc::parse_timeout(f.value))
            out.timeout = std::min(out.timeout, *t);
          else
            out.bad_timeout = true;
        }
        break;
      case 20:
        if (http::iequals(f.name, "x-request-timeout-ms")) {
          uint64_t ms = 0;
          const auto [end, ec] = std::from_chars(f.value.data(), f.value.data() + f.value.size(), ms);
          if (ec != std::errc() || end != f.value.data() + f.value.size() || f.value.empty())
            out.bad_timeout = true;
          else
            out.timeout =
                std::min<Duration>(out.timeout, std::chrono::milliseconds(std::min<uint64_t>(ms, 1'000'000'000)));
        }
        break;
      default: break;
    }
  }
  return out;
}

void append_added_lines(std::string& out, const RequestFields& fields, const http::Exchange& exchange, Rng& rng,
                        std::string& request_id) {
  if (fields.request_id.empty()) {
    request_id.clear();
    append_hex(request_id, rng.next());
    append_hex(request_id, rng.next());
    out += "x-request-id: ";
    out += request_id;
    out += "\r\n";
  } else {
    request_id.assign(fields.request_id);
  }
  if (fields.traceparent.empty()) {
    // Version 00, sampled; an id of zeros would be invalid, so the lowest bit is set.
    out += "traceparent: 00-";
    append_hex(out, rng.next());
    append_hex(out, rng.next() | 1);
    out += '-';
    append_hex(out, rng.next() | 1);
    out += "-01\r\n";
  }
  out += "x-forwarded-for: ";
  out += host_of(exchange.peer());
  out += exchange.secure() ? "\r\nx-forwarded-proto: https\r\n" : "\r\nx-forwarded-proto: http\r\n";
}

}  // namespace colony::proxy
