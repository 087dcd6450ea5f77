// x-forwarded-for and forwarded are added as lines of their own: several lines of one list field are one list (RFC 9110,
// 5.3), so what a trusted source sent is extended without being rewritten.
#include "request/proxy/forward/request_fields.h"

#include <algorithm>
#include <charconv>
#include <cstring>

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

constexpr std::string_view kOriginPrefix = "x-forwarded-";

bool tells_origin(std::string_view name) {
  if (name.size() <= kOriginPrefix.size()) return http::iequals(name, "forwarded");
  return http::iequals(name.substr(0, kOriginPrefix.size()), kOriginPrefix);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

// Takes out the lines of `block`, a whole head without its last empty line, that tell the request's origin.
void drop_origin(std::string& block) {
  size_t to = block.find('\n') + 1;
  for (size_t from = to; from < block.size();) {
    const size_t end = block.find('\n', from) + 1;
    const std::string_view line = std::string_view(block).substr(from, end - from);
    if (!tells_origin(line.substr(0, line.find(':')))) {
      if (to != from) std::memmove(block.data() + to, block.data() + from, line.size());
      to += line.size();
    }
    from = end;
  }
  block.resize(to);
}

// RFC 7239. A host that would have to be escaped is left out.
void append_forwarded(std::string& out, std::string_view from, std::string_view host, bool secure) {
  out += "forwarded: for=";
  if (from.find(':') != std::string_view::npos) {
    out += "\"[";
    out += from;
    out += "]\"";
  } else if (from.find('.') != std::string_view::npos) {
    out += from;
  } else {
    out += "unknown";
  }
  if (!host.empty() && host.find_first_of("\"\\") == std::string_view::npos) {
    out += ";host=\"";
    out += host;
    out += '"';
  }
  out += secure ? ";proto=https\r\n" : ";proto=http\r\n";
}

}  // namespace

RequestFields read_fields(const http::RequestHead& head) {
  RequestFields out;
  for (const http::Field& f : head.fields()) {
    if (tells_origin(f.name)) {
      out.origin = true;
      out.forwarded |= f.name.size() == 9;
      out.forwarded_proto |= http::iequals(f.name, "x-forwarded-proto");
      out.forwarded_host |= http::iequals(f.name, "x-forwarded-host");
      continue;
    }
    switch (f.name.size()) {
      case 4:
        if (http::iequals(f.name, "host")) out.host = f.value;
        break;
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
        } else if (http::iequals(f.name, "x-idempotent")) {
          out.idempotent = http::iequals(f.value, "true");
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

void append_upgrade_lines(std::string& out, const http::HeadBase& head) {
  out += "connection: upgrade\r\nupgrade: ";
  out += head.find("upgrade").value_or("");
  out += "\r\n";
}

void choose_request_id(const RequestFields& fields, Rng& rng, std::string& request_id) {
  if (!fields.request_id.empty()) {
    request_id.assign(fields.request_id);
    return;
  }
  request_id.clear();
  append_hex(request_id, rng.next());
  append_hex(request_id, rng.next());
}

void append_request_block(std::string& block, const http::RequestHead& head, const RequestFields& fields,
                          const Hop& hop, const TrustedSources& trusted, Rng& rng, std::string& request_id) {
  block.clear();
  http::append_forwardable(block, head, {});
  block.resize(block.size() - 2);
  for (std::string_view line : {fields.bad_request_id, fields.bad_traceparent})
    if (const size_t at = line.empty() ? std::string::npos : block.find(line); at != std::string::npos)
      block.erase(at, line.size());
  const bool believed = fields.origin && trusted.contains(hop.peer);
  if (fields.origin && !believed) drop_origin(block);

  choose_request_id(fields, rng, request_id);
  if (fields.request_id.empty()) append_field(block, "x-request-id", request_id);
  if (fields.traceparent.empty()) {
    // Version 00, sampled; an id of zeros would be invalid, so the lowest bit is set.
    block += "traceparent: 00-";
    append_hex(block, rng.next());
    append_hex(block, rng.next() | 1);
    block += '-';
    append_hex(block, rng.next() | 1);
    block += "-01\r\n";
  }
  const std::string_view from = host_of(hop.peer);
  append_field(block, "x-forwarded-for", from);
  if (!believed || !fields.forwarded_proto) append_field(block, "x-forwarded-proto", hop.secure ? "https" : "http");
  if (!fields.host.empty() && (!believed || !fields.forwarded_host))
    append_field(block, "x-forwarded-host", fields.host);
  if (fields.forwarded) append_forwarded(block, from, fields.host, hop.secure);
  if (head.upgrade) append_upgrade_lines(block, head);
  block += "\r\n";
}

}  // namespace colony::proxy
