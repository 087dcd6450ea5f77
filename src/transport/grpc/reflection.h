// grpc.reflection.v1 and v1alpha: descriptors of the services that a Dispatcher serves, from the generated pool, so
// that grpcurl and the like need no .proto files. Our protos declare no extensions: such questions are answered
// NOT_FOUND.
#pragma once

#include "transport/grpc/service.h"

namespace colony::grpc {

// Register last or first, it does not matter: list_services asks the Dispatcher at each call.
void register_reflection(Dispatcher& dispatcher);

}  // namespace colony::grpc
