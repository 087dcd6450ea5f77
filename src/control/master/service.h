// Serves a Host to a keeper in another process (proto/colony/master/v1), over a router of the master host process.
#pragma once

#include "control/master/contract.h"
#include "transport/http/unary.h"

namespace colony::master {

// `host` outlives the router.
void mount_host(http::Router& router, async::Loop& loop, Host& host);

}  // namespace colony::master
