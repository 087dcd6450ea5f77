// One look at a server of the user's own: does it take a connection, does it speak what the spec says, and, when the spec
// names a path, does a GET of it answer 2xx or 3xx? Over the same links as the proxy's requests (transport/backend), so
// that what is called healthy here can be served there.
#pragma once

#include <string>

#include "async/scope.h"
#include "domain/app_spec.h"

namespace colony::master {

// An error says what was wrong; kCancelled when `scope` stops meanwhile.
async::Task<Result<void>> check_backend(async::Scope& scope, std::string address, BackendSpec backend,
                                        Duration patience);

}  // namespace colony::master
