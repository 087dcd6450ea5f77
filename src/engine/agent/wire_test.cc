// Values of the engine's verbs come back from their bytes as they were; bytes that are none are refused.
#include "engine/agent/wire.h"

#include <gtest/gtest.h>

namespace colony::engine::wire {
namespace {

ActorStatus status() {
  ActorStatus s;
  s.spec.id = "app.d.a";
  s.spec.role = "replica";
  s.spec.app = "app";
  s.spec.deployment = "d";
  s.spec.payload = "left out";
  s.spec.env = {{"A", "1"}};
  s.spec.labels = {{"revision", "7"}};
  s.spec.resources = {.num_cpus = 0.5, .num_gpus = 1, .memory = 5, .resources = {{"tpu", 2}}};
  s.spec.placement = {.node = "n", .spread = false, .max_per_node = 3};
  s.state = ActorState::kBackoff;
  s.node = "n";
  s.pid = 12;
  s.incarnation = 3;
  s.address = "unix:/x";
  s.since = WallTime(Duration(1'700'000'000'123'456'789));
  s.last_exit = "exit code 1";
  s.last_log_lines = {"a", "\xff not utf-8"};
  s.next_start_s = 1.5;
  return s;
}

void expect_same(const ActorStatus& a, const ActorStatus& b) {
  EXPECT_EQ(a.spec.id, b.spec.id);
  EXPECT_EQ(a.spec.labels, b.spec.labels);
  EXPECT_EQ(a.spec.env, b.spec.env);
  EXPECT_EQ(a.spec.resources, b.spec.resources);
  EXPECT_EQ(a.spec.placement.max_per_node, b.spec.placement.max_per_node);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.node, b.node);
  EXPECT_EQ(a.pid, b.pid);
  EXPECT_EQ(a.incarnation, b.incarnation);
  EXPECT_EQ(a.address, b.address);
  EXPECT_EQ(a.since, b.since);
  EXPECT_EQ(a.last_exit, b.last_exit);
  EXPECT_EQ(a.last_log_lines, b.last_log_lines);
  EXPECT_EQ(a.next_start_s, b.next_start_s);
  EXPECT_TRUE(a.spec.payload.empty());
}

TEST(EngineWire, StatusesAndEventsComeBack) {
  expect_same(decode_started(encode(status())).value(), status());
  const auto list = decode_actors(encode(std::vector<ActorStatus>{status(), status()})).value();
  ASSERT_EQ(list.size(), 2U);
  expect_same(list[1], status());
  const auto gone = decode_event(encode(Event{Event::Kind::kGone, status()})).value();
  EXPECT_EQ(gone.kind, Event::Kind::kGone);
  expect_same(gone.actor, status());
  EXPECT_EQ(decode_event(encode(Event{Event::Kind::kResync, {}})).value().kind, Event::Kind::kResync);
  EXPECT_FALSE(encode(Event{Event::Kind::kResync, {}}).empty()) << "an empty message is a keep-alive";
}

TEST(EngineWire, CallsComeBack) {
  auto spec = status().spec;
  const auto reserve = decode_reserve(encode(ReserveCall{{"app", 9}, spec})).value();
  EXPECT_EQ(reserve.fence.owner, "app");
  EXPECT_EQ(reserve.fence.epoch, 9U);
  EXPECT_EQ(reserve.spec.payload, "left out") << "going in, the payload travels";
  const auto start = decode_start(encode(StartCall{{"app", 9}, {"a", "n"}})).value();
  EXPECT_EQ(start.reservation.node, "n");
  const auto stop = decode_stop(encode(StopCall{{"app", 9}, "a", 1500ms})).value();
  EXPECT_EQ(stop.grace, 1500ms);
  EXPECT_EQ(decode_stop(encode(StopCall{{"app", 9}, "a", -1ms})).error().code, Code::kInvalidArgument);
  EXPECT_EQ(decode_logs_call(encode(LogsCall{"a", 7}))->lines, 7U);
  EXPECT_EQ(decode_list_app(encode_list("app")).value(), "app");
  EXPECT_EQ(decode_logs(encode_logs("\xff\n")).value(), "\xff\n");
  EXPECT_EQ(decode_reservation(encode(Reservation{"a", "n"}))->actor, "a");
  const auto hello = decode_hello(encode(Hello{"c", "i", "r", 5, 6})).value();
  EXPECT_EQ(hello.cookie, "c");
  EXPECT_EQ(hello.incarnation, 6U);
}

TEST(EngineWire, BytesThatAreNoMessageAreRefused) {
  const std::string bad("\x0a\xff\xff\xff\xff", 5);
  EXPECT_EQ(decode_reserve(bad).error().code, Code::kInvalidArgument);
  EXPECT_EQ(decode_event(bad).error().code, Code::kInvalidArgument);
  EXPECT_EQ(decode_hello(bad).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace colony::engine::wire
