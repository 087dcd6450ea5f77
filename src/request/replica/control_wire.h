// colony.replica.v1.Replica on a router: the master's and the agent's calls. Protobuf stays in control_wire.cc.
#pragma once

#include "transport/http/unary.h"

namespace colony::replica {

class Replica;

void mount_control(http::Router& router, Replica& replica);

}  // namespace colony::replica
