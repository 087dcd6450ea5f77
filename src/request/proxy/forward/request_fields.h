// What the proxy reads from a request's head and what it adds to it. One pass over the fields, no allocation.
#pragma once

#include <string>
#include <string_view>

#include "base/rng.h"
#include "base/time.h"
#include "transport/http/exchange.h"

namespace colony::proxy {

struct RequestFields {
  std::string_view request_id;   // empty: no valid one came
  std::string_view traceparent;  // empty: no valid one came
  // Whole lines of ids that are not what they should be: not forwarded, replaced.
  std::string_view bad_request_id, bad_traceparent;
  Duration timeout = Duration::max();  // the sooner of grpc-timeout and x-request-timeout-ms
  bool bad_timeout = false;            // one of them cannot be read
  bool grpc = false;
};

RequestFields read_fields(const http::RequestHead& head);

// Appends the lines that go to the replica besides the request's own: x-request-id and traceparent when they are missing,
// x-forwarded-for and x-forwarded-proto. `request_id` is set to the id that the request now has.
void append_added_lines(std::string& out, const RequestFields& fields, const http::Exchange& exchange, Rng& rng,
                        std::string& request_id);

}  // namespace colony::proxy
