// Links to a server of the user's own (a backend), seen from the proxy: the face of a frame link (frame/link.h) over what
// such a server speaks. HTTP/1.1 takes a pool of keep-alive connections, HTTP/2 without TLS (gRPC) a few connections that
// carry many streams each. Neither decodes a body. Live on their loop; Events and failures are those of frame::Link.
// on_ready may come again: the connections that follow are others than those on which calls have failed before.
#pragma once

#include <memory>

#include "transport/frame/link.h"

namespace colony::backend {

std::unique_ptr<frame::Link> connect_http1(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                           frame::Link::Events events);
std::unique_ptr<frame::Link> connect_h2(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                        frame::Link::Events events);

}  // namespace colony::backend
