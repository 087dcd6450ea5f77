// Values come from a parsed head, so they hold no line break.
#include "request/replica/call.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/random_id.h"

namespace colony::replica {
namespace {

constexpr size_t kLongestId = 256;  // LIMIT: a longer x-request-id is cut

}  // namespace

RequestIds::RequestIds(Core& core, const http::RequestHead& head) {
  const auto id = head.find("x-request-id");
  lines_.reserve(128);  // an id and a trace context of usual length
  lines_ = "x-request-id: ";
  if (id && !id->empty())
    lines_ += id->substr(0, kLongestId);
  else
    lines_ += hex_id(core.loop.rng(), 16);
  lines_ += "\r\n";
  if (const auto trace = head.find("traceparent")) {
    lines_ += "traceparent: ";
    lines_ += trace->substr(0, kLongestId);
    lines_ += "\r\n";
  }
}

std::string RequestIds::log_text() const {
  const size_t end = lines_.find("\r\n"), at = lines_.find(": ") + 2;
  std::string out = "request_id=" + lines_.substr(at, end - at);
  if (const size_t trace = lines_.find("traceparent: "); trace != lines_.npos)
    out += " traceparent=" + lines_.substr(trace + 13, lines_.size() - trace - 15);
  return out;
}

void log_access(const RequestIds& ids, std::string_view what, int status, Duration took, const Error* error) {
  // Overload and deadlines are counted, not told one by one.
  const bool ours = error && status == 500;
  if (!ours && !log_enabled(LogLevel::kDebug)) return;
  const std::string text = ids.log_text();
  const LogContext context(text);
  if (ours)
    LOG(warn, "{} -> {}: {}", what, status, error->message);
  else
    LOG(debug, "{} -> {} in {:.3f} ms", what, status, to_seconds(took) * 1e3);
}

}  // namespace colony::replica
