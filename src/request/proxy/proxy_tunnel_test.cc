// Upgraded connections through a whole proxy: bytes both ways, the ways in which they end, and what is not granted.
#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

bool has(const string& text, std::string_view what) { return text.find(what) != string::npos; }

const string kUpgrade = "Connection: upgrade\r\nUpgrade: raw\r\nOrigin: o\r\n";

TEST(ProxyTunnel, ATunnelReachesTheReplicaAndNoDeadlineEndsIt) {
  ProxyWorld w({.sim = {.max_chunk = 3000}});
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()}, [](DeploymentRecord& d) { d.request_timeout = 5s; });
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/tunnel", {}, kUpgrade));
  ASSERT_TRUE(w.until([&] { return has(c->text, "hi "); }));
  EXPECT_TRUE(c->text.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << c->text;
  EXPECT_TRUE(has(c->text, "connection: upgrade\r\nupgrade: raw\r\n")) << c->text;
  EXPECT_TRUE(has(c->text, "x-request-id: ")) << c->text;
  EXPECT_TRUE(has(r.service.last().head, "Origin: o\r\n")) << r.service.last().head;
  c->take();
  string sent;
  for (int i = 0; sent.size() < 700'000; ++i) sent += std::to_string(i) + ",";
  w.loop().run_for(60s);
  c->send(sent);
  ASSERT_TRUE(w.until([&] { return c->text.size() == sent.size(); }));
  EXPECT_TRUE(c->text == sent);
  EXPECT_EQ(w.proxy().ongoing(), 1u);
  c->stream->shutdown_write();
  ASSERT_TRUE(w.until([&] { return c->ended; }));
  EXPECT_TRUE(r.service.last().done && r.service.last().ok);
  w.until([&] { return w.proxy().ongoing() == 0; }, 3s);
  EXPECT_EQ(w.proxy().ongoing(), 0u);
  EXPECT_EQ(w.ask("GET", "/echo").status, 200) << "the slot and the link are free again";
}

TEST(ProxyTunnel, AHalfOfATunnelMayEndBeforeTheOther) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/tunnel/first", {}, kUpgrade));
  ASSERT_TRUE(w.until([&] { return c->ended; }));
  c->send("still heard");
  ASSERT_TRUE(w.until([&] { return r.service.last().body == "still heard"; }));
  EXPECT_FALSE(r.service.last().done);
  c->stream->shutdown_write();
  ASSERT_TRUE(w.until([&] { return r.service.last().done; }));
  EXPECT_TRUE(r.service.last().ok);
}

TEST(ProxyTunnel, ATunnelEndsWithItsClientItsReplicaOrADrain) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  const auto open = [&] {
    auto c = w.client();
    c->send(ProxyWorld::text("GET", "/tunnel", {}, kUpgrade));
    EXPECT_TRUE(w.until([&] { return has(c->text, "hi "); }));
    return c;
  };
  auto gone = open();
  gone->hang_up();
  EXPECT_TRUE(w.until([&] { return r.service.last().done; }));

  auto lost = open();
  r.kill();
  EXPECT_TRUE(w.until([&] { return lost->ended || lost->closed; }));
  r.start();
  for (int i = 0; i < 50 && w.ask("GET", "/echo").status != 200; ++i) w.loop().run_for(100ms);

  auto drained = open();
  r.drain();
  EXPECT_TRUE(w.until([&] { return drained->text.ends_with("bye"); })) << "the replica drains";
  drained->stream->shutdown_write();
  EXPECT_TRUE(w.until([&] { return r.drained(); }));
}

TEST(ProxyTunnel, AProxyThatDrainsLetsTheReplicaEndItsTunnels) {
  ProxyWorld w;
  auto& r = w.replica("r1");
  w.deploy("app", "/", {r.record()});
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/tunnel", {}, kUpgrade));
  ASSERT_TRUE(w.until([&] { return has(c->text, "hi "); }));
  async::Timer hears_it(w.loop(), [&] { c->stream->shutdown_write(); });
  hears_it.arm_after(1s);
  bool clean = false;
  const auto drain = [](ProxyWorld& world, bool& out) -> async::Task<void> {
    out = co_await world.proxy().drain(Deadline::after(world.loop().now(), 5s));
  };
  w.loop().run(drain(w, clean));
  EXPECT_TRUE(clean);
  EXPECT_TRUE(c->text.ends_with("hi bye"));
  EXPECT_TRUE(c->ended);
}

TEST(ProxyTunnel, OneThatItsServerHasEndedKeepsNeitherASlotNorADrain) {
  for (const bool external : {false, true}) {
    ProxyWorld w;
    auto& r = w.replica("r1");
    w.deploy("app", "/", {r.record()}, [&](DeploymentRecord& d) {
      d.max_ongoing_requests = 1;
      if (!external) return;
      d.runtime = "external";
      d.replicas[0].protocol = "http1";
    });
    auto c = w.client();
    c->send(ProxyWorld::text("GET", "/tunnel/first", {}, kUpgrade));
    ASSERT_TRUE(w.until([&] { return c->ended; }));
    const TimePoint before = w.loop().now();
    EXPECT_EQ(w.ask("GET", "/echo").status, 200);
    EXPECT_LT(w.loop().now() - before, 1s);
    c->send("still heard");
    EXPECT_TRUE(w.until([&] { return r.service.calls.front()->body == "still heard"; }, 1s));
    bool clean = false;
    const auto drain = [](ProxyWorld& world, bool& out) -> async::Task<void> {
      out = co_await world.proxy().drain(Deadline::after(world.loop().now(), 5s));
    };
    w.loop().run(drain(w, clean));
    EXPECT_TRUE(clean);
    EXPECT_TRUE(r.service.calls.front()->done);
  }
}

TEST(ProxyTunnel, ARefusedTunnelIsAnOrdinaryReply) {
  ProxyWorld w;
  w.deploy("app", "/", {w.replica("r1").record()});
  auto c = w.client();
  c->send(ProxyWorld::text("GET", "/echo", {}, kUpgrade));
  EXPECT_EQ(w.reply(*c).status, 200);
  c->send(ProxyWorld::text("GET", "/unasked"));
  EXPECT_EQ(w.reply(*c).status, 500);
  c->send(ProxyWorld::text("GET", "/echo"));
  EXPECT_EQ(w.reply(*c).status, 200);
}

}  // namespace
}  // namespace colony::proxy::testing
