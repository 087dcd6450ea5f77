// The replica's end of the framed link: turns frames into http::Exchange objects for a Service. Made by http::Server when
// a connection opens with kMagic. Replies of one loop turn leave in one write.
#pragma once

#include <memory>

#include "transport/http/connection.h"

namespace colony::frame {

// As http::serve_http1(); the stream's first bytes are kMagic. drain() sends a goaway: the proxy starts nothing new here,
// what runs is answered, then the connection ends.
std::unique_ptr<http::Connection> serve_frames(std::unique_ptr<async::Stream> stream, http::ConnectionContext& context);

}  // namespace colony::frame
