// What an agent and the processes that take requests agree on: where a process lends its listening sockets, so that the
// agent keeps copies over its death, and how the next incarnation gets them.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"

namespace colony::engine {

// LIMIT: while an actor waits longer than this for its next start, its sockets are let go: better refused than unanswered.
inline constexpr Duration kKeepSockets = 2s;

// The number of sockets that a process has inherited, from descriptor 3 on.
inline constexpr const char* kSocketsVariable = "COLONY_LISTENING_SOCKETS";

// Beside the actor's own socket ("/.../sock" or "unix:/.../sock").
inline std::string lender_path(std::string_view actor_socket) {
  if (actor_socket.starts_with("unix:")) actor_socket.remove_prefix(5);
  return std::string(actor_socket) + ".fds";
}

// Only these roles have sockets that are worth keeping.
inline bool keeps_sockets(std::string_view role) { return role == "proxy"; }

}  // namespace colony::engine
