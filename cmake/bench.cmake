# The instruments of ./dev bench and ./dev soak, none of them part of the program: the load generator (bench/loadgen, with
# its tests) and what answers behind the peers (bench/origins/NAME.cc). Built when somebody asks for them.
file(GLOB loadgen_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/loadgen/*.cc")
set(loadgen_tests ${loadgen_sources})
list(FILTER loadgen_sources EXCLUDE REGEX "_test\\.cc$|/main\\.cc$")
list(FILTER loadgen_tests INCLUDE REGEX "_test\\.cc$")

add_library(colony_loadgen STATIC EXCLUDE_FROM_ALL ${loadgen_sources})
target_link_libraries(colony_loadgen PRIVATE colony_flags PUBLIC fmt::fmt nghttp2 nlohmann_json::nlohmann_json)
target_include_directories(colony_loadgen PUBLIC "${CMAKE_SOURCE_DIR}")
add_executable(loadgen EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/bench/loadgen/main.cc")
target_link_libraries(loadgen PRIVATE colony_flags colony_loadgen)
add_custom_target(instruments DEPENDS loadgen)

file(GLOB origins CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/origins/*.cc")
foreach(source ${origins})
  get_filename_component(name "${source}" NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(${name} PRIVATE colony_flags nghttp2)
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  add_dependencies(instruments ${name})
endforeach()

# A backend for Triton: its undefined symbols are tritonserver's.
add_library(triton_noop MODULE EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/bench/peers/triton_noop.cc")
target_link_libraries(triton_noop PRIVATE colony_flags)
add_dependencies(instruments triton_noop)

if(COLONY_TESTS AND NOT COLONY_FUZZ_ONLY)
  colony_gtest(test_loadgen unit.loadgen unit 120 ${loadgen_tests})
  target_link_libraries(test_loadgen PRIVATE colony_loadgen)
  # Three minutes of ./dev soak, begun before everything else, so that the rest of the suite runs beside it.
  set_target_properties(loadgen PROPERTIES EXCLUDE_FROM_ALL OFF)
  add_test(NAME soak.three_minutes COMMAND "${CMAKE_SOURCE_DIR}/tools/test/soak" 3 --json "${CMAKE_BINARY_DIR}/soak.json")
  set_tests_properties(soak.three_minutes PROPERTIES LABELS soak TIMEOUT 420 COST 1000 ENVIRONMENT
                       "COLONY_BUILD_BINARY=${CMAKE_BINARY_DIR}/colony;COLONY_LOADGEN=$<TARGET_FILE:loadgen>")
endif()
