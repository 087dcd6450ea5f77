// See trace.h.
#include "observe/trace.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "base/random_id.h"

namespace colony::observe {
namespace {

constexpr size_t kLength = 55;  // 00-<32>-<16>-<2>
constexpr char kHex[] = "0123456789abcdef";

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool read_hex(std::string_view text, std::span<uint8_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const uint8_t b : bytes) {
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

bool all_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

// Zeros mean "no id", so they are drawn again.
void draw(Rng& rng, std::span<uint8_t> out) {
  do {
    for (size_t i = 0; i < out.size(); i += 8) {
      const uint64_t word = rng.next();
      for (size_t k = 0; k < 8 && i + k < out.size(); ++k) out[i + k] = static_cast<uint8_t>(word >> (8 * k));
    }
  } while (all_zero(out));
}

}  // namespace

std::string TraceContext::trace_id_hex() const { return hex(trace_id); }
std::string TraceContext::span_id_hex() const { return hex(span_id); }

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  if (text.size() < kLength) return std::nullopt;
  uint8_t version = 0, flags = 0;
  TraceContext out;
  if (!read_hex(text.substr(0, 2), {&version, 1}) || version == 0xff) return std::nullopt;
  if (version == 0 ? text.size() != kLength : text.size() > kLength && text[kLength] != '-') return std::nullopt;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  if (!read_hex(text.substr(3, 32), out.trace_id) || all_zero(out.trace_id)) return std::nullopt;
  if (!read_hex(text.substr(36, 16), out.span_id) || all_zero(out.span_id)) return std::nullopt;
  if (!read_hex(text.substr(53, 2), {&flags, 1})) return std::nullopt;
  out.sampled = flags & 1;
  return out;
}

std::string format_traceparent(const TraceContext& context) {
  return fmt::format("00-{}-{}-{}", context.trace_id_hex(), context.span_id_hex(), context.sampled ? "01" : "00");
}

TraceContext new_trace(Rng& rng, bool sampled) {
  TraceContext out;
  draw(rng, out.trace_id);
  draw(rng, out.span_id);
  out.sampled = sampled;
  return out;
}

TraceContext child_of(const TraceContext& parent, Rng& rng) {
  TraceContext out = parent;
  draw(rng, out.span_id);
  return out;
}

bool valid_request_id(std::string_view id) {
  constexpr std::string_view kMarks = "-_.:/+=@";
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

std::string request_id_or_new(std::string_view callers, Rng& rng) {
  return valid_request_id(callers) ? std::string(callers) : hex_id(rng, 16);
}

std::string log_fields(std::string_view request_id, const TraceContext& context) {
  return fmt::format("request_id={} trace_id={} span_id={}", request_id, context.trace_id_hex(), context.span_id_hex());
}

}  // namespace colony::observe
