//go:build tools

// Names gRPC's interop client and server, so that go.mod and go.sum pin them with all that they pull in. Built by
// tools/setup/setup.
package tools

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
