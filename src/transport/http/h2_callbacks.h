// The nghttp2 side of H2Connection: a server session with our options and callbacks. Internal to the HTTP/2 files.
#pragma once

struct nghttp2_session;

namespace colony::http {

class H2Connection;
struct ServerOptions;

// Never null: running out of memory ends the process as it does everywhere. SETTINGS and the connection's window are
// queued already.
nghttp2_session* new_h2_session(H2Connection& connection, const ServerOptions& options);

}  // namespace colony::http
