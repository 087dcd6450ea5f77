// What names one request across processes: the W3C trace context (https://www.w3.org/TR/trace-context/) and the request
// id. Both come from callers, so both are parsed strictly and replaced when they are not what they should be. Ids are
// drawn from an injected Rng. No exporter of spans lives here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/rng.h"

namespace colony::observe {

struct TraceContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  bool sampled = false;

  std::string trace_id_hex() const;
  std::string span_id_hex() const;
  bool operator==(const TraceContext&) const = default;
};

// The header's value. Nothing for anything that the standard does not allow: wrong length, upper case, ids of zeros,
// version ff. A version above 00 is read as far as version 00 goes.
std::optional<TraceContext> parse_traceparent(std::string_view text);
std::string format_traceparent(const TraceContext& context);  // version 00

TraceContext new_trace(Rng& rng, bool sampled);
TraceContext child_of(const TraceContext& parent, Rng& rng);  // same trace, new span

// 1 to 128 characters out of letters, digits and - _ . : / + = @ : safe in a header, a log line and a shell.
bool valid_request_id(std::string_view id);
// The caller's id, or a new one of 32 hexadecimal digits.
std::string request_id_or_new(std::string_view callers, Rng& rng);

// "request_id=... trace_id=... span_id=...", the text for a LogContext.
std::string log_fields(std::string_view request_id, const TraceContext& context);

}  // namespace colony::observe
