//go:build tools

// Names h2spec, so that go.mod and go.sum pin it with everything it pulls in. Built by tools/setup/setup.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
)
