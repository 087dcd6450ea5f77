# Compiler flags of our own code, and the compiler launcher (ccache, set up so that a clone in another folder hits).
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_SOURCE_DIR}/tools/build/launcher")
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# What strangers reach is built like a distribution's servers: an overrun buffer ends the process, and the tables of functions
# of libraries are read-only once it runs.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection")
set(CMAKE_EXE_LINKER_FLAGS_RELEASE "-Wl,-z,relro,-z,now")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
# Line tables only: a stack trace needs no more, and full debug information costs a third of the compile time.
set(CMAKE_CXX_FLAGS_TEST "-O1 -gline-tables-only -fno-omit-frame-pointer -fno-optimize-sibling-calls")
set(CMAKE_EXE_LINKER_FLAGS_TEST "")

add_library(colony_flags INTERFACE)
target_compile_options(colony_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast -Wextra-semi
  -Wimplicit-fallthrough -Wcast-qual -Wunused -Wthread-safety -Werror
  # A designated initialiser that names what differs from the default is how options are written here.
  -Wno-missing-field-initializers -Wno-missing-designated-field-initializers
  -fvisibility=default -ffunction-sections -fdata-sections)
target_include_directories(colony_flags INTERFACE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include")

find_package(Threads REQUIRED)
link_libraries(Threads::Threads)
add_link_options(-fuse-ld=lld -Wl,--gc-sections)

if(COLONY_SANITIZE STREQUAL "address")
  # fuzzer-no-link: the fuzz targets link the same objects as the unit tests, so there is one test build.
  add_compile_options(-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(COLONY_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(NOT COLONY_SANITIZE STREQUAL "")
  message(FATAL_ERROR "COLONY_SANITIZE is '${COLONY_SANITIZE}': only address, thread or nothing is known")
endif()
