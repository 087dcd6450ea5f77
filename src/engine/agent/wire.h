// Between the agent's values and proto/colony/engine/v1 and proto/colony/actor/v1. The one place of the engine room that
// knows protobuf. What cannot be read is kInvalidArgument.
#pragma once

#include "engine/agent/port.h"

namespace colony::engine::wire {

inline constexpr std::string_view kAgentService = "colony.engine.v1.Agent";
inline constexpr std::string_view kActorService = "colony.actor.v1.Actor";

struct ReserveCall {
  Fence fence;
  ActorSpec spec;
};
struct StartCall {
  Fence fence;
  Reservation reservation;
};
struct StopCall {
  Fence fence;
  std::string actor;
  Duration grace{};
};
struct LogsCall {
  std::string actor;
  size_t lines = 0;
};
struct Hello {
  std::string cookie, id, role;
  int64_t pid = 0;
  uint64_t incarnation = 0;
};

std::string encode(const ReserveCall& v);
std::string encode(const StartCall& v);
std::string encode(const StopCall& v);
std::string encode(const LogsCall& v);
std::string encode(const Reservation& v);
std::string encode(const ActorStatus& v);
std::string encode(const std::vector<ActorStatus>& v);
std::string encode(const Event& v);
std::string encode(const AgentPort::Node& v);
std::string encode(const Hello& v);
std::string encode_list(std::string_view app);
std::string encode_logs(std::string_view text);
std::string encode_greeting(std::string_view agent);  // of Hello and Heartbeat
std::string encode_heartbeat(std::string_view id, uint64_t incarnation);

Result<ReserveCall> decode_reserve(std::string_view bytes);
Result<StartCall> decode_start(std::string_view bytes);
Result<StopCall> decode_stop(std::string_view bytes);
Result<LogsCall> decode_logs_call(std::string_view bytes);
Result<std::string> decode_list_app(std::string_view bytes);
Result<Reservation> decode_reservation(std::string_view bytes);
Result<ActorStatus> decode_started(std::string_view bytes);
Result<std::vector<ActorStatus>> decode_actors(std::string_view bytes);
Result<Event> decode_event(std::string_view bytes);
Result<AgentPort::Node> decode_node(std::string_view bytes);
Result<std::string> decode_logs(std::string_view bytes);
Result<Hello> decode_hello(std::string_view bytes);

}  // namespace colony::engine::wire
