// The load itself: threads that ask at a fixed rate (open loop) or as fast as answers come (closed loop), and what they saw.
//
// Open loop: request i is due at start + i / rate, whatever the server does. Latency counts from there, so a server that
// stalls is charged for every request that should have been asked meanwhile (no coordinated omission).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/loadgen/histogram.h"
#include "bench/loadgen/traffic.h"

namespace colony::loadgen {

struct Options {
  std::string host = "127.0.0.1";  // a numeric address, or unix:/PATH
  uint16_t port = 0;
  bool h2 = false;
  size_t connections = 1;  // over all threads
  size_t streams = 1;      // h2: at a time on one connection
  size_t threads = 1;
  double rate = 0;  // requests a second over all threads; 0: closed loop
  double seconds = 1;
  uint64_t requests = 0;     // ends after so many; 0: by time alone
  double warmup = 0;         // seconds at the beginning that are left out of the latencies
  double timeout = 10;       // seconds, of one request; also how long the end waits for what is due
  bool retry_stale = false;  // as clients do: send again what the server did not begin
  uint64_t seed = 1;
  std::vector<Kind> kinds;
};

// A failed request; `at` is the wall clock in seconds, for who wants to know what else happened then.
struct Failure {
  double at = 0, latency_s = 0;
  std::string kind, why;
};

struct Counts {
  uint64_t asked = 0, good = 0, wrong = 0, failed = 0, aborted = 0, retried = 0;
  Histogram latency;
};

struct Result {
  double seconds = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t unasked = 0;  // were due, but no connection was free before the end; in the latencies with what they waited
  uint64_t reconnects = 0;
  Histogram late;             // how much later than intended a request was sent although a connection was free
  std::vector<Counts> kinds;  // as in Options
  std::map<std::string, uint64_t> errors;
  std::vector<Failure> failures;  // LIMIT: the first 1000 of each thread
};

// Blocks until done. Throws std::runtime_error when the first connections cannot be made.
Result generate(const Options& options);

std::string to_json(const Options& options, const Result& result);

}  // namespace colony::loadgen
