// Links to a server of the user's own (a backend), seen from the proxy: the face of a frame link (frame/link.h) over what
// such a server speaks. HTTP/1.1 takes a pool of keep-alive connections, HTTP/2 without TLS (gRPC) a few connections that
// carry many streams each. Neither decodes a body. Live on their loop; Events and failures are those of frame::Link.
// on_ready may come again: the connections that follow are others than those on which calls have failed before.
#pragma once

#include <memory>
#include <string_view>

#include "transport/frame/link.h"

namespace colony::backend {

// The reason of a call that an HTTP/2 backend has reset before its reply; the code is then the one that gRPC gives it.
inline constexpr std::string_view kReset = "backend_reset";

// The reason of a call whose request is none that can be sent: the backend has no part in it.
inline constexpr std::string_view kBadRequest = "bad_request";

std::unique_ptr<frame::Link> connect_http1(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                           frame::Link::Events events);
std::unique_ptr<frame::Link> connect_h2(async::Loop& loop, async::Endpoint to, Deadline deadline,
                                        frame::Link::Events events);

}  // namespace colony::backend
