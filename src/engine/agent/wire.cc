// See wire.h. Log lines and payloads travel as bytes: nobody promised that they are UTF-8.
#include "engine/agent/wire.h"

#include <fmt/format.h>

#include "colony/actor/v1/actor.pb.h"
#include "colony/engine/v1/engine.pb.h"

namespace colony::engine::wire {
namespace {

namespace pb = ::colony::engine::v1;
namespace actor_pb = ::colony::actor::v1;

template <class M>
Result<M> parse(std::string_view bytes, std::string_view what) {
  M m;
  if (bytes.size() > static_cast<size_t>(INT32_MAX) ||
      !m.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(invalid_argument(fmt::format("the bytes are no {}", what)));
  }
  return m;
}

void put(const Fence& v, pb::Fence& m) {
  m.set_owner(v.owner);
  m.set_epoch(v.epoch);
}
Fence get(const pb::Fence& m) { return {m.owner(), m.epoch()}; }

void put(const ActorSpec& v, pb::ActorSpec& m) {
  m.set_id(v.id);
  m.set_role(v.role);
  m.set_app(v.app);
  m.set_deployment(v.deployment);
  m.set_payload(v.payload);
  for (const auto& [name, value] : v.env) (*m.mutable_env())[name] = value;
  for (const auto& [name, value] : v.labels) (*m.mutable_labels())[name] = value;
  auto& r = *m.mutable_resources();
  r.set_num_cpus(v.resources.num_cpus);
  r.set_num_gpus(v.resources.num_gpus);
  r.set_memory(v.resources.memory);
  for (const auto& [name, n] : v.resources.resources) (*r.mutable_custom())[name] = n;
  auto& p = *m.mutable_placement();
  p.set_node(v.placement.node);
  p.set_spread(v.placement.spread);
  p.set_max_per_node(v.placement.max_per_node);
}

ActorSpec get(const pb::ActorSpec& m) {
  ActorSpec v;
  v.id = m.id();
  v.role = m.role();
  v.app = m.app();
  v.deployment = m.deployment();
  v.payload = m.payload();
  for (const auto& [name, value] : m.env()) v.env[name] = value;
  for (const auto& [name, value] : m.labels()) v.labels[name] = value;
  v.resources.num_cpus = m.resources().num_cpus();
  v.resources.num_gpus = m.resources().num_gpus();
  v.resources.memory = m.resources().memory();
  for (const auto& [name, n] : m.resources().custom()) v.resources.resources[name] = n;
  v.placement = {
      .node = m.placement().node(), .spread = m.placement().spread(), .max_per_node = m.placement().max_per_node()};
  return v;
}

void put(const ActorStatus& v, pb::ActorStatus& m) {
  put(v.spec, *m.mutable_spec());
  m.mutable_spec()->clear_payload();
  m.set_state(static_cast<pb::ActorState>(v.state));
  m.set_node(v.node);
  m.set_pid(v.pid);
  m.set_incarnation(v.incarnation);
  m.set_address(v.address);
  m.set_since_unix_ns(v.since.time_since_epoch().count());
  m.set_last_exit(v.last_exit);
  for (const auto& line : v.last_log_lines) m.add_last_log_lines(line);
  m.set_next_start_s(v.next_start_s);
}

ActorStatus get(const pb::ActorStatus& m) {
  ActorStatus v;
  v.spec = get(m.spec());
  v.state = m.state() >= 0 && m.state() <= 4 ? static_cast<ActorState>(m.state()) : ActorState::kReserved;
  v.node = m.node();
  v.pid = m.pid();
  v.incarnation = m.incarnation();
  v.address = m.address();
  v.since = WallTime(Duration(m.since_unix_ns()));
  v.last_exit = m.last_exit();
  v.last_log_lines.assign(m.last_log_lines().begin(), m.last_log_lines().end());
  v.next_start_s = m.next_start_s();
  return v;
}

}  // namespace

std::string encode(const ReserveCall& v) {
  pb::ReserveRequest m;
  put(v.fence, *m.mutable_fence());
  put(v.spec, *m.mutable_spec());
  return m.SerializeAsString();
}

std::string encode(const StartCall& v) {
  pb::StartRequest m;
  put(v.fence, *m.mutable_fence());
  m.set_actor(v.reservation.actor);
  m.set_node(v.reservation.node);
  return m.SerializeAsString();
}

std::string encode(const StopCall& v) {
  pb::StopRequest m;
  put(v.fence, *m.mutable_fence());
  m.set_actor(v.actor);
  m.set_grace_ms(to_ms(v.grace));
  return m.SerializeAsString();
}

std::string encode(const LogsCall& v) {
  pb::LogsRequest m;
  m.set_actor(v.actor);
  m.set_lines(static_cast<uint32_t>(std::min<size_t>(v.lines, UINT32_MAX)));
  return m.SerializeAsString();
}

std::string encode(const Reservation& v) {
  pb::ReserveReply m;
  m.set_actor(v.actor);
  m.set_node(v.node);
  return m.SerializeAsString();
}

std::string encode(const ActorStatus& v) {
  pb::StartReply m;
  put(v, *m.mutable_actor());
  return m.SerializeAsString();
}

std::string encode(const std::vector<ActorStatus>& v) {
  pb::ListReply m;
  for (const auto& actor : v) put(actor, *m.add_actors());
  return m.SerializeAsString();
}

std::string encode(const Event& v) {
  pb::Event m;
  switch (v.kind) {
    case Event::Kind::kChanged: m.set_kind(pb::Event::CHANGED); break;
    case Event::Kind::kGone: m.set_kind(pb::Event::GONE); break;
    case Event::Kind::kResync: m.set_kind(pb::Event::RESYNC); break;
  }
  if (v.kind != Event::Kind::kResync) put(v.actor, *m.mutable_actor());
  return m.SerializeAsString();
}

std::string encode(const AgentPort::Node& v) {
  pb::Node m;
  m.set_id(v.status.id);
  m.set_host(v.status.host);
  m.set_zone(v.status.zone);
  m.set_agent_address(v.status.agent_address);
  m.set_cpus(v.status.cpus);
  m.set_cpus_used(v.status.cpus_used);
  m.set_gpus(v.status.gpus);
  m.set_gpus_used(v.status.gpus_used);
  m.set_memory(v.status.memory);
  m.set_memory_used(v.status.memory_used);
  for (const auto& [name, n] : v.capacity.custom) (*m.mutable_custom())[name] = n;
  m.set_cpu_note(v.capacity.cpu_note);
  return m.SerializeAsString();
}

std::string encode(const Hello& v) {
  actor_pb::HelloReply m;
  m.set_cookie(v.cookie);
  m.set_id(v.id);
  m.set_role(v.role);
  m.set_pid(v.pid);
  m.set_incarnation(v.incarnation);
  return m.SerializeAsString();
}

std::string encode_list(std::string_view app) {
  pb::ListRequest m;
  m.set_app(std::string(app));
  return m.SerializeAsString();
}

std::string encode_logs(std::string_view text) {
  pb::LogsReply m;
  m.set_text(std::string(text));
  return m.SerializeAsString();
}

std::string encode_greeting(std::string_view agent) {
  actor_pb::HelloRequest m;
  m.set_agent(std::string(agent));
  return m.SerializeAsString();
}

std::string encode_heartbeat(std::string_view id, uint64_t incarnation) {
  actor_pb::HeartbeatReply m;
  m.set_id(std::string(id));
  m.set_incarnation(incarnation);
  return m.SerializeAsString();
}

Result<ReserveCall> decode_reserve(std::string_view bytes) {
  TRY(auto m, parse<pb::ReserveRequest>(bytes, "ReserveRequest"));
  return ReserveCall{get(m.fence()), get(m.spec())};
}

Result<StartCall> decode_start(std::string_view bytes) {
  TRY(auto m, parse<pb::StartRequest>(bytes, "StartRequest"));
  return StartCall{get(m.fence()), {m.actor(), m.node()}};
}

Result<StopCall> decode_stop(std::string_view bytes) {
  TRY(auto m, parse<pb::StopRequest>(bytes, "StopRequest"));
  if (m.grace_ms() < 0 || m.grace_ms() > 86'400'000) {
    return fail(invalid_argument(fmt::format("grace_ms is {}: it must be from 0 to 86400000", m.grace_ms())));
  }
  return StopCall{get(m.fence()), m.actor(), std::chrono::milliseconds(m.grace_ms())};
}

Result<LogsCall> decode_logs_call(std::string_view bytes) {
  TRY(auto m, parse<pb::LogsRequest>(bytes, "LogsRequest"));
  return LogsCall{m.actor(), m.lines()};
}

Result<std::string> decode_list_app(std::string_view bytes) {
  TRY(auto m, parse<pb::ListRequest>(bytes, "ListRequest"));
  return m.app();
}

Result<Reservation> decode_reservation(std::string_view bytes) {
  TRY(auto m, parse<pb::ReserveReply>(bytes, "ReserveReply"));
  return Reservation{m.actor(), m.node()};
}

Result<ActorStatus> decode_started(std::string_view bytes) {
  TRY(auto m, parse<pb::StartReply>(bytes, "StartReply"));
  return get(m.actor());
}

Result<std::vector<ActorStatus>> decode_actors(std::string_view bytes) {
  TRY(auto m, parse<pb::ListReply>(bytes, "ListReply"));
  std::vector<ActorStatus> out;
  for (const auto& actor : m.actors()) out.push_back(get(actor));
  return out;
}

Result<Event> decode_event(std::string_view bytes) {
  TRY(auto m, parse<pb::Event>(bytes, "Event"));
  switch (m.kind()) {
    case pb::Event::CHANGED: return Event{Event::Kind::kChanged, get(m.actor())};
    case pb::Event::GONE: return Event{Event::Kind::kGone, get(m.actor())};
    default: return Event{Event::Kind::kResync, {}};
  }
}

Result<AgentPort::Node> decode_node(std::string_view bytes) {
  TRY(auto m, parse<pb::Node>(bytes, "Node"));
  AgentPort::Node v;
  v.status = {.id = m.id(),
              .host = m.host(),
              .zone = m.zone(),
              .agent_address = m.agent_address(),
              .alive = true,
              .cpus = m.cpus(),
              .cpus_used = m.cpus_used(),
              .gpus = m.gpus(),
              .gpus_used = m.gpus_used(),
              .memory = m.memory(),
              .memory_used = m.memory_used()};
  v.capacity = {.id = m.id(), .cpus = m.cpus(), .gpus = m.gpus(), .memory = m.memory(), .cpu_note = m.cpu_note()};
  for (const auto& [name, n] : m.custom()) v.capacity.custom[name] = n;
  return v;
}

Result<std::string> decode_logs(std::string_view bytes) {
  TRY(auto m, parse<pb::LogsReply>(bytes, "LogsReply"));
  return m.text();
}

Result<Hello> decode_hello(std::string_view bytes) {
  TRY(auto m, parse<actor_pb::HelloReply>(bytes, "HelloReply"));
  return Hello{m.cookie(), m.id(), m.role(), m.pid(), m.incarnation()};
}

}  // namespace colony::engine::wire
