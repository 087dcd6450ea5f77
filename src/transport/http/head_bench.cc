// What a usual head costs: both parsers, and writing the forwardable form.
#include <benchmark/benchmark.h>

#include "transport/http/head.h"

namespace colony::http {
namespace {

constexpr std::string_view kRequest =
    "POST /v2/models/filetype/infer HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    "Content-Type: application/json\r\nx-request-id: 0123456789abcdef0123456789abcdef\r\nContent-Length: 256\r\n\r\n";
constexpr std::string_view kReply =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: 0123456789abcdef0123456789abcdef\r\n"
    "content-length: 256\r\n\r\n";

void parse_request(benchmark::State& state) {
  for (auto _ : state) {
    RequestHead head;
    ParseError error;
    std::string_view text = kRequest;
    benchmark::DoNotOptimize(text);
    benchmark::DoNotOptimize(parse_request_head(text, head, error));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kRequest.size()));
}
BENCHMARK(parse_request);

void parse_reply(benchmark::State& state) {
  for (auto _ : state) {
    ReplyHead head;
    ParseError error;
    std::string_view text = kReply;
    benchmark::DoNotOptimize(text);
    benchmark::DoNotOptimize(parse_reply_head(text, head, error));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kReply.size()));
}
BENCHMARK(parse_reply);

void forward_request(benchmark::State& state) {
  RequestHead head;
  ParseError error;
  parse_request_head(kRequest, head, error);
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_forwardable(out, head, "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n");
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(forward_request);

}  // namespace
}  // namespace colony::http
