// Values come from a parsed head, so they hold no line break.
#include "request/replica/call.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/random_id.h"
#include "transport/compress/coding.h"

namespace colony::replica {
namespace {

constexpr size_t kLongestId = 256;  // LIMIT: a longer x-request-id is cut

// "request_id=... traceparent=..."
std::string log_text(std::string_view lines) {
  const size_t end = lines.find("\r\n"), at = lines.find(": ") + 2;
  std::string out = "request_id=" + std::string(lines.substr(at, end - at));
  if (const size_t trace = lines.find("traceparent: "); trace != lines.npos)
    out.append(" traceparent=").append(lines.substr(trace + 13, lines.size() - trace - 15));
  return out;
}

}  // namespace

void append_id_lines(Text& to, Core& core, const http::RequestHead& head) {
  const http::Field* const id = head.find(http::Name::kXRequestId);
  if (id && !id->value.empty())
    to.append("x-request-id: ", id->value.substr(0, kLongestId), "\r\n");
  else
    to.append("x-request-id: ", hex_id(core.loop.rng(), 16), "\r\n");
  if (const http::Field* const trace = head.find(http::Name::kTraceparent))
    to.append("traceparent: ", trace->value.substr(0, kLongestId), "\r\n");
}

RequestIds::RequestIds(Core& core, const http::RequestHead& head) { append_id_lines(lines_, core, head); }

void reply_error_as(http::Exchange& exchange, int status, const Error& error, std::string_view lines) {
  http::reply_with(exchange, status, "application/json", http::error_json(error),
                   fmt::format("{}x-colony-reason: {}\r\n", lines, error.reason));
}

void log_access(std::string_view id_lines, std::string_view what, int status, Duration took, const Error* error) {
  // Overload and deadlines are counted, not told one by one.
  const bool ours = error && status == 500;
  if (!ours && !log_enabled(LogLevel::kDebug)) return;
  const std::string text = log_text(id_lines);
  const LogContext context(text);
  if (ours)
    LOG(warn, "{} -> {}: {}", what, status, error->message);
  else
    LOG(debug, "{} -> {} in {:.3f} ms", what, status, to_seconds(took) * 1e3);
}

http::ExchangeHandler* refuse(Core& core, http::Exchange& exchange, const http::RequestHead& head, const Error& error) {
  const RequestIds ids(core, head);
  const bool coding = error.reason == "content_encoding";
  if (coding)
    reply_error_as(exchange, 415, error, fmt::format("accept-encoding: {}\r\n{}", compress::kCodings, ids.lines()));
  else
    http::reply_error(exchange, false, error, ids.lines());
  log_access(ids, head.path, coding ? 415 : http_status(error.code), Duration::zero(), &error);
  return new AnsweredCall(exchange);
}

}  // namespace colony::replica
