# Third-party libraries, all of them Debian 12 packages (docs/dependencies.md says why each is here and which room is
# its home), plus the C/C++ headers of ONNX Runtime that ./dev setup unpacks into the cache folder.
# Linked statically where Debian has an archive, so that the binary needs less of the machine that it is carried to.
find_package(PkgConfig REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(simdjson CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
set(Protobuf_USE_STATIC_LIBS ON)
find_package(Protobuf REQUIRED)
find_package(SQLite3 REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)

# colony_archive(target library fallback): an interface target that links lib<library>.a, or the shared fallback.
function(colony_archive target library fallback)
  find_library(${target}_archive "lib${library}.a")
  add_library(${target} INTERFACE)
  if(${target}_archive)
    target_link_libraries(${target} INTERFACE "${${target}_archive}" ${ARGN})
    target_include_directories(${target} SYSTEM INTERFACE $<TARGET_PROPERTY:${fallback},INTERFACE_INCLUDE_DIRECTORIES>)
  else()
    target_link_libraries(${target} INTERFACE ${fallback})
  endif()
endfunction()
colony_archive(nghttp2 nghttp2 PkgConfig::nghttp2)
colony_archive(yamlcpp yaml-cpp yaml-cpp)
colony_archive(sqlite3 sqlite3 SQLite::SQLite3 ${CMAKE_DL_LIBS} m)
if(COLONY_TESTS)
  find_package(GTest CONFIG REQUIRED)
  find_package(benchmark CONFIG REQUIRED)
endif()

# The library itself is opened at run time (nothing links it); only its headers are needed here.
if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(colony_cache "$ENV{XDG_CACHE_HOME}/colony")
else()
  set(colony_cache "$ENV{HOME}/.cache/colony")
endif()
set(COLONY_ORT_INCLUDE_DIR "${colony_cache}/third_party/onnxruntime-headers/usr/include/onnxruntime"
    CACHE PATH "Folder with onnxruntime_cxx_api.h")
if(NOT EXISTS "${COLONY_ORT_INCLUDE_DIR}/onnxruntime_cxx_api.h")
  message(FATAL_ERROR "No onnxruntime_cxx_api.h in ${COLONY_ORT_INCLUDE_DIR}. Run ./dev setup, or give "
                      "-DCOLONY_ORT_INCLUDE_DIR=FOLDER.")
endif()
add_library(onnxruntime_headers INTERFACE)
target_include_directories(onnxruntime_headers SYSTEM INTERFACE "${COLONY_ORT_INCLUDE_DIR}")
