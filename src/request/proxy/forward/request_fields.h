// What the proxy reads from a request's head, and the head block that it sends on. One pass over the fields, no allocation
// beyond the strings that are handed in.
#pragma once

#include <string>
#include <string_view>

#include "base/rng.h"
#include "base/time.h"
#include "request/proxy/forward/trusted_sources.h"
#include "transport/http/head.h"

namespace colony::proxy {

struct RequestFields {
  // The first valid one; empty: none came.
  std::string_view request_id, traceparent;
  // Such lines came that are not what they should be, or more than one: all are left out, and one is written.
  bool rewrite_request_id = false, rewrite_traceparent = false;
  Duration timeout = Duration::max();  // the sooner of grpc-timeout and x-request-timeout-ms
  bool bad_timeout = false;            // one of them cannot be read
  bool idempotent = false;             // x-idempotent: true
  bool origin = false;                 // `forwarded` or any x-forwarded-* came; of them:
  bool forwarded = false, forwarded_proto = false, forwarded_host = false;
};

RequestFields read_fields(const http::RequestHead& head);

// Where the request came from: the last hop before this proxy.
struct Hop {
  std::string_view peer;  // http::Exchange::peer()
  bool secure = false;    // over TLS
};

// Sets `block` to the head as it travels to the replica: as it came, without hop-by-hop fields, bad ids and what a source
// that is not trusted says about the request's origin; with x-request-id and traceparent when they are missing,
// x-forwarded-for, -proto and -host, and `forwarded` when one came. `request_id` is set to the id that the request now has.
void append_request_block(std::string& block, const http::RequestHead& head, const RequestFields& fields,
                          const Hop& hop, const TrustedSources& trusted, Rng& rng, std::string& request_id);

// For replies that the proxy makes by itself: the id that the request has or gets.
void choose_request_id(const RequestFields& fields, Rng& rng, std::string& request_id);

// A connection's own lines that a tunnel needs at its next hop too: "connection: upgrade" and what to.
void append_upgrade_lines(std::string& out, const http::HeadBase& head);

}  // namespace colony::proxy
