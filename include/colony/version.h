// The version of Colony, for programs that are built against an installed one, and the one place where it is written:
// CMake and the Python package read it from here.
#pragma once

#define COLONY_VERSION "0.1.0"
