// loadgen ADDRESS [FLAG VALUE]... FORM[,KEY=VALUE]...: see kUsage.
#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>

#include "bench/loadgen/generator.h"

namespace colony::loadgen {
namespace {

constexpr std::string_view kUsage = R"(loadgen ADDRESS [FLAG VALUE]... KIND...
Sends requests, checks every reply against its request, prints what it saw as one line of JSON.
  ADDRESS         127.0.0.1:PORT or unix:/PATH
  KIND            raw | oip | grpc, with keys after commas: path= model= tensor= bytes= weight= abort=
                  header= name=
                  raw: a POST that is echoed; oip: one number to /v2/models/MODEL/infer; grpc: the same as ModelInfer
  --rate R        requests a second, latency counted from when each was due; without it: closed loop
  --seconds S     (1)        --requests N    end after so many
  --connections N (1)        --streams N     requests at a time on one HTTP/2 connection (1)
  --threads N     (1)        --protocol h1|h2 (h1; grpc needs h2)
  --warmup S      leave the latencies of the first S seconds out
  --timeout S     of one request (10)
  --retry-stale 1 send again what the server did not begin, as clients do
  --seed N        (1)
)";

template <class Number>
bool number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= Number{};
}

// Empty when taken, else what is wrong with it.
std::string set_flag(Options& o, std::string_view flag, std::string_view value) {
  bool good = true;
  if (flag == "--rate")
    good = number(value, o.rate);
  else if (flag == "--seconds")
    good = number(value, o.seconds);
  else if (flag == "--requests")
    good = number(value, o.requests);
  else if (flag == "--connections")
    good = number(value, o.connections) && o.connections > 0;
  else if (flag == "--streams")
    good = number(value, o.streams) && o.streams > 0;
  else if (flag == "--threads")
    good = number(value, o.threads) && o.threads > 0;
  else if (flag == "--warmup")
    good = number(value, o.warmup);
  else if (flag == "--timeout")
    good = number(value, o.timeout) && o.timeout > 0;
  else if (flag == "--seed")
    good = number(value, o.seed);
  else if (flag == "--retry-stale")
    o.retry_stale = value == "1";
  else if (flag == "--protocol")
    good = value == "h1" || value == "h2", o.h2 = value == "h2";
  else
    return fmt::format("unknown flag {}", flag);
  return good ? "" : fmt::format("{} {}: not a value it takes", flag, value);
}

std::string read_arguments(int argc, char** argv, Options& o) {
  if (argc < 3) return std::string(kUsage);
  const std::string_view address = argv[1];
  const size_t colon = address.rfind(':');
  if (address.starts_with("unix:"))
    o.host = address;
  else if (colon != address.npos && number(address.substr(colon + 1), o.port))
    o.host = address.substr(0, colon);
  else
    return fmt::format("'{}': 127.0.0.1:PORT or unix:/PATH", address);
  const auto authority = address.starts_with("unix:") ? std::string_view("localhost") : address;
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--")) {
      if (i + 1 == argc) return fmt::format("{} needs a value", argument);
      if (auto problem = set_flag(o, argument, argv[++i]); !problem.empty()) return problem;
      continue;
    }
    auto kind = parse_kind(argument, authority);
    if (!kind) return fmt::format("{}: {}", argument, kind.error());
    o.kinds.push_back(std::move(*kind));
  }
  if (o.kinds.empty()) return "no kind of request given";
  for (const auto& kind : o.kinds)
    if (kind.form == Form::kGrpc && !o.h2) return "grpc needs --protocol h2";
  if (o.threads > o.connections) return "more threads than connections";
  return {};
}

int run(int argc, char** argv) {
  Options options;
  if (const auto problem = read_arguments(argc, argv, options); !problem.empty()) {
    fmt::print(stderr, "loadgen: {}\n", problem);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  try {
    const auto result = generate(options);
    fmt::print("{}\n", to_json(options, result));
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "loadgen: {}\n", e.what());
    return 1;
  }
}

}  // namespace
}  // namespace colony::loadgen

int main(int argc, char** argv) { return colony::loadgen::run(argc, argv); }
