// The limits that hold over a whole proxy: memory and connections of all its loops, seen from outside and in the metrics.
#include "request/proxy/test_world.h"
#include "transport/backend/backend_test_support.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

TEST(ProxyLimits, NewRequestsAreRefusedWhileTheBuffersAreFull) {
  observe::Metrics metrics;
  ProxyWorld w({.proxy = {.max_memory = 400 * 1024, .metrics = &metrics}});
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
  auto slow = w.client();
  slow->stream->pause();
  slow->send(ProxyWorld::text("GET", "/big/5000000"));
  w.loop().run_for(1s);
  const size_t calls = r.service.calls.size();
  const WireReply reply = w.ask("GET", "/echo");
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(has(reply.body, "\"reason\":\"memory_bytes\"")) << reply.body;
  EXPECT_TRUE(has(reply.head, "x-colony-reason: memory_bytes\r\n")) << reply.head;
  EXPECT_TRUE(has(reply.head, "retry-after: ")) << reply.head;
  EXPECT_EQ(r.service.calls.size(), calls);
  EXPECT_EQ(w.ask("GET", "/v2/health/live").status, 200) << "questions to the proxy itself are answered";
  EXPECT_TRUE(has(metrics.text(), "colony_limit_hits_total{limit=\"memory_bytes\"} 1")) << metrics.text();
  slow->stream->resume();
  EXPECT_EQ(w.reply(*slow).body.size(), 5'000'000u) << "what was begun goes on";
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
}

TEST(ProxyLimits, ConnectionsAreCountedOverAllLoops) {
  observe::Metrics metrics;
  ProxyOptions options;
  options.server.max_connections = 3;
  options.metrics = &metrics;
  ProxyWorld w({.loops = 2, .proxy = options});
  w.deploy("app", "/", {w.replica("r1").record()});
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(w.client());
    if (clients.back()->stream) clients.back()->send(ProxyWorld::text("GET", "/echo"));
  }
  w.loop().run_for(2s);
  int answered = 0;
  for (auto& c : clients) answered += has(c->text, " 200 ");
  EXPECT_EQ(answered, 3);
  EXPECT_TRUE(has(metrics.text(), "colony_limit_hits_total{limit=\"connections\"} 2")) << metrics.text();
  EXPECT_TRUE(has(metrics.text(), "colony_limit_used{limit=\"connections\"} 3")) << metrics.text();
  clients[0].reset();
  w.loop().run_for(1s);
  EXPECT_EQ(w.ask("GET", "/echo").status, 200);
}

string fields(size_t n) {
  string out;
  for (size_t i = 0; i < n; ++i) out += "a" + std::to_string(i) + ": b\r\n";
  return out;
}

// The lines that a proxy adds are not the client's.
TEST(ProxyLimits, AHeadMayBeAsLargeAsTheLimitsSayWhoeverServesIt) {
  for (const char* protocol : {"", "http1", "h2c"}) {
    SCOPED_TRACE(protocol);
    ProxyWorld w;
    backend::testing::RawBackend raw(w.loop());
    auto& r = w.replica("r1");
    ReplicaRecord record = r.record();
    record.protocol = protocol;
    if (record.protocol == "http1") {
      raw.always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      record.address = "backend";
    }
    w.deploy("app", "/", {record}, [&](DeploymentRecord& d) {
      if (record.protocol.empty()) return;
      d.runtime = "external";
      d.models.clear();
    });
    for (size_t n : {90, 99}) {
      const WireReply reply = w.ask("GET", "/echo", {}, fields(n));
      EXPECT_EQ(reply.status, 200) << n << reply.head << reply.body;
    }
    const int good = record.protocol == "h2c" ? 431 : 200;  // that server is ours, and bounds all of a head's bytes
    const WireReply large = w.ask("GET", "/echo", {}, "x: " + string(65'400, 'x') + "\r\n");
    EXPECT_EQ(large.status, good) << large.head << large.body;
    const WireReply more = w.ask("GET", "/echo", {}, fields(100));
    EXPECT_EQ(more.status, 431);
    EXPECT_TRUE(has(more.head, "x-colony-reason: head_fields\r\n")) << more.head;
    EXPECT_EQ(w.ask("GET", "/echo", {}, "x: " + string(65'600, 'x') + "\r\n").status, 431);
  }
}

TEST(ProxyLimits, AServersHeadMayBeAsLargeToo) {
  const string start = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n";
  const string large = start + "x: " + string(65'536 - start.size() - 7, 'x') + "\r\n\r\n";
  ASSERT_EQ(large.size(), 65'536u);
  for (const string& head : {start + fields(99) + "\r\n", large}) {
    ProxyWorld w;
    backend::testing::RawBackend raw(w.loop());
    raw.always(head + "ok");
    w.deploy("app", "/", {{.id = "r1", .incarnation = 1, .address = "backend", .protocol = "http1"}},
             [](DeploymentRecord& d) {
               d.runtime = "external";
               d.models.clear();
             });
    auto c = w.client();  // its reply is larger than what the tests' own reader takes
    c->send(ProxyWorld::text("GET", "/x"));
    EXPECT_TRUE(w.until([&] { return c->text.ends_with("\r\n\r\nok"); }, 1s));
    EXPECT_TRUE(c->text.starts_with("HTTP/1.1 200 OK\r\n")) << c->text.substr(0, 300);
    EXPECT_TRUE(has(c->text, "x-request-id: "));
  }
}

TEST(ProxyLimits, WhatAConnectionMeetsIsCounted) {
  observe::Metrics metrics;
  ProxyOptions options;
  options.server.max_url = 50;
  options.metrics = &metrics;
  ProxyWorld w({.proxy = options});
  EXPECT_EQ(w.ask("GET", "/" + string(100, 'x')).status, 414);
  w.loop().run_for(2s);
  EXPECT_TRUE(has(metrics.text(), "colony_limit_hits_total{limit=\"url_bytes\"} 1")) << metrics.text();
}

}  // namespace
}  // namespace colony::proxy::testing
