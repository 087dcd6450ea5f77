// The instrument against servers that misbehave in known ways: it must report what happened.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/loadgen/connection.h"
#include "bench/loadgen/generator.h"

namespace colony::loadgen {
namespace {

using std::chrono::milliseconds;

// An HTTP/1.1 server on a port of its own, one thread per connection. `answer` gets the request's body and its number and
// returns all bytes of the reply; an empty string closes the connection.
class Server {
 public:
  using Answer = std::function<std::string(std::string_view body, int number)>;

  explicit Server(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool listens =
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 64) == 0;
    EXPECT_TRUE(listens);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] {
      for (int fd; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;) serving_.emplace_back([this, fd] { serve(fd); });
    });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    for (auto& t : serving_) t.join();
    ::close(listener_);
  }
  uint16_t port() const { return port_; }
  int count() const { return count_; }

 private:
  void serve(int fd) {
    std::string in;
    char buffer[4096];
    for (ssize_t n; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      in.append(buffer, static_cast<size_t>(n));
      for (;;) {
        const size_t end = in.find("\r\n\r\n"), length = in.find("content-length: ");
        if (end == in.npos || length == in.npos) break;
        const size_t size = std::stoul(in.substr(length + 16));
        if (in.size() < end + 4 + size) break;
        const std::string reply = answer_(std::string_view(in).substr(end + 4, size), count_++);
        in.erase(0, end + 4 + size);
        if (reply.empty() || ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) {
          ::close(fd);
          return;
        }
      }
    }
    ::close(fd);
  }

  Answer answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> count_{0};
  std::thread accepting_;
  std::vector<std::thread> serving_;
};

std::string ok(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

Options options(const Server& server, std::string_view kind = "raw,bytes=64") {
  Options o;
  o.port = server.port();
  o.kinds.push_back(*parse_kind(kind, "127.0.0.1"));
  return o;
}

TEST(Loadgen, AStallIsChargedToEveryRequestThatWasDueMeanwhile) {
  // 200 requests a second on one connection; the server is silent once for half a second. A generator that only looks at
  // what it sent sees one slow request of 200; a hundred were due.
  const Server server([](std::string_view body, int number) {
    if (number == 50) std::this_thread::sleep_for(milliseconds(500));
    return ok(body);
  });
  Options o = options(server);
  o.rate = 200;
  o.seconds = 1.5;
  const Result result = generate(o);
  const auto& h = result.kinds[0].latency;
  EXPECT_EQ(result.kinds[0].good, 300u);
  EXPECT_EQ(h.count(), 300u);
  EXPECT_GE(h.percentile(0.75), 50'000'000u) << "a quarter of all requests waited for at least 50 ms";
  EXPECT_GE(h.max(), 490'000'000u);
}

TEST(Loadgen, AClosedLoopSeesOnlyTheOneRequestThatWasSent) {
  const Server server([](std::string_view body, int number) {
    if (number == 50) std::this_thread::sleep_for(milliseconds(300));
    return ok(body);
  });
  Options o = options(server);
  o.requests = 300;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].good, 300u);
  EXPECT_LT(result.kinds[0].latency.percentile(0.75), 50'000'000u);
  EXPECT_GE(result.kinds[0].latency.max(), 290'000'000u);
}

TEST(Loadgen, WhatWasDueAndNeverSentCounts) {
  const Server server([](std::string_view body, int) {
    std::this_thread::sleep_for(milliseconds(1500));
    return ok(body);
  });
  Options o = options(server);
  o.rate = 100;
  o.seconds = 0.5;
  o.timeout = 0.5;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].good, 0u);
  EXPECT_EQ(result.kinds[0].failed, 50u);
  EXPECT_GE(result.unasked, 40u);
  EXPECT_EQ(result.kinds[0].latency.count(), 50u);
}

TEST(Loadgen, TheRateIsTheOneAskedFor) {
  const Server server([](std::string_view body, int) { return ok(body); });
  Options o = options(server);
  o.connections = 8;
  o.threads = 2;
  o.rate = 1000;
  o.seconds = 1;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].asked, 1000u);
  EXPECT_EQ(result.kinds[0].good, 1000u);
}

TEST(Loadgen, AReplyToAnotherRequestIsWrong) {
  std::string before;
  const Server server([&before](std::string_view body, int number) {
    const std::string reply = ok(number % 10 == 9 ? before : std::string(body));
    before = body;
    return reply;
  });
  Options o = options(server);
  o.requests = 100;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].wrong, 10u);
  EXPECT_EQ(result.kinds[0].good, 90u);
  EXPECT_EQ(result.failures.at(0).why, "wrong reply");
}

TEST(Loadgen, ABodyThatIsCutOrHasOneWrongByteIsSeen) {
  const Server server([](std::string_view body, int number) {
    std::string changed(body);
    if (number == 1) changed.back() ^= 1;
    if (number == 2) changed.pop_back();
    if (number == 3) changed += 'x';
    return ok(changed);
  });
  Options o = options(server, "raw,bytes=100000");
  o.requests = 5;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].wrong, 3u);
  EXPECT_EQ(result.kinds[0].good, 2u);
}

TEST(Loadgen, AStatusThatIsNoSuccessIsAFailureWithItsNumber) {
  const Server server([](std::string_view body, int number) {
    return number % 2 ? ok(body) : std::string("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
  });
  Options o = options(server);
  o.requests = 10;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.errors.at("status 503"), 5u);
  EXPECT_EQ(result.kinds[0].failed, 5u);
}

TEST(Loadgen, ChunkedRepliesAreReadWhole) {
  const Server server([](std::string_view body, int) {
    return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n" + std::string(body.substr(0, 16)) +
           "\r\n30\r\n" + std::string(body.substr(16)) + "\r\n0\r\nx-a: b\r\n\r\n";
  });
  Options o = options(server);
  o.requests = 10;
  o.seconds = 30;
  EXPECT_EQ(generate(o).kinds[0].good, 10u);
}

TEST(Loadgen, AClosedConnectionIsMadeAgainAndTheRequestSentAgainOnlyWhenAskedFor) {
  const Server::Answer every_fifth_closes = [](std::string_view body, int number) {
    return number % 5 == 4 ? std::string() : ok(body);
  };
  const Server server(every_fifth_closes), other(every_fifth_closes);
  Options o = options(server);
  o.requests = 40;
  o.seconds = 30;
  const Result plain = generate(o);
  EXPECT_EQ(plain.kinds[0].good, 32u);
  EXPECT_EQ(plain.kinds[0].failed, 8u);
  o = options(other);
  o.requests = 40;
  o.seconds = 30;
  o.retry_stale = true;
  const Result retried = generate(o);
  EXPECT_EQ(retried.kinds[0].good, 40u);
  EXPECT_EQ(retried.kinds[0].failed, 0u);
  EXPECT_GE(retried.kinds[0].retried, 8u);
}

// One event tells of a part of a reply and of the connection's end behind it.
TEST(Loadgen, AnEndBehindAPartOfAReplyIsSeenAtOnce) {
  struct : Sink {
    void on_done(size_t, const Call&, const Done& done) override { said += done.why; }
    std::string said;
  } sink;
  const Kind kind = *parse_kind("raw,bytes=64", "127.0.0.1");
  for (const bool h2 : {false, true}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    auto c = h2 ? make_h2(0, ends[0], sink, 1, "a") : make_h1(0, ends[0], sink);
    c->start({.kind = &kind});
    c->flush();
    const std::string part = h2 ? std::string("\0\0\0\4\0\0\0\0\0", 9) : "HTTP/1.1 200 OK\r\n";
    ASSERT_EQ(::send(ends[1], part.data(), part.size(), 0), static_cast<ssize_t>(part.size()));
    ::shutdown(ends[1], SHUT_RDWR);
    c->on_readable(true);
    EXPECT_EQ(std::exchange(sink.said, {}), "closed") << h2;
    EXPECT_TRUE(c->closed());
    ::close(ends[1]);
  }
}

TEST(Loadgen, OipRepliesAreComparedAsNumbers) {
  const Server server([](std::string_view body, int number) {
    const size_t at = body.find("\"data\":[") + 8;
    const std::string value = number == 3 ? "1.5" : std::string(body.substr(at, 7)) + ".0";
    return ok("{\"outputs\": [{\"data\": [" + value + "]}]}");
  });
  Options o = options(server, "oip");
  o.requests = 10;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].good, 9u);
  EXPECT_EQ(result.kinds[0].wrong, 1u);
}

TEST(Loadgen, AMixIsAskedByWeight) {
  const Server server([](std::string_view body, int) { return ok(body); });
  Options o = options(server, "raw,name=many,weight=9,bytes=32");
  o.kinds.push_back(*parse_kind("raw,name=few,weight=1,bytes=64,path=/other", "127.0.0.1"));
  o.requests = 2000;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_EQ(result.kinds[0].asked + result.kinds[1].asked, 2000u);
  EXPECT_NEAR(static_cast<double>(result.kinds[1].asked), 200, 60);
}

TEST(Loadgen, AbortedRequestsAreLeftInTheMiddleAndAreNoFailures) {
  const Server server([](std::string_view body, int) { return ok(body); });
  Options o = options(server, "raw,abort=0.5,bytes=1000");
  o.requests = 200;
  o.seconds = 30;
  const Result result = generate(o);
  EXPECT_NEAR(static_cast<double>(result.kinds[0].aborted), 100, 40);
  EXPECT_EQ(result.kinds[0].failed, 0u);
  EXPECT_EQ(result.kinds[0].good, static_cast<uint64_t>(server.count()));
}

TEST(Loadgen, AnUnknownKeyIsNamed) {
  EXPECT_EQ(parse_kind("raw,byte=3", "h").error(),
            "unknown key 'byte'; there are: name, path, model, tensor, bytes, numbers, weight, abort, header");
  EXPECT_EQ(parse_kind("roar", "h").error(), "'roar' is no form of request; there are: raw, oip, grpc");
  EXPECT_EQ(parse_kind("raw,bytes=3", "h").error(), "bytes=3: 16 to 67108864");
}

TEST(Histogram, PercentilesAreRightToWithinAPercent) {
  Histogram h, other;
  for (uint64_t i = 1; i <= 100'000; ++i) (i % 2 ? h : other).add(i * 1000);
  h.merge(other);
  EXPECT_EQ(h.count(), 100'000u);
  EXPECT_EQ(h.max(), 100'000'000u);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999})
    EXPECT_NEAR(static_cast<double>(h.percentile(share)), share * 1e8, share * 1e6) << share;
  EXPECT_EQ(h.percentile(1), 100'000'000u);
  EXPECT_EQ(Histogram().percentile(0.5), 0u);
}

TEST(Loadgen, AnInferenceMayHoldManyNumbers) {
  const auto kind = parse_kind("oip,numbers=3", "h");
  ASSERT_TRUE(kind);
  EXPECT_TRUE(kind->before.contains("\"shape\":[3]")) << kind->before;
  EXPECT_EQ(std::ranges::count(kind->after, ','), 2) << kind->after;
  EXPECT_EQ(kind->body_size, kind->before.size() + 7 + kind->after.size());
  EXPECT_EQ(parse_kind("oip,numbers=0", "h").error(), "numbers=0: 1 to 4194304");
}

}  // namespace
}  // namespace colony::loadgen
