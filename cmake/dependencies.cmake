# Third-party libraries, all of them Debian 12 packages (docs/dependencies.md says why each is here and which room is
# its home), plus the C/C++ headers of ONNX Runtime that ./dev setup unpacks into the cache folder.
find_package(PkgConfig REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(simdjson CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(Protobuf REQUIRED)
find_package(SQLite3 REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
add_library(nghttp2 INTERFACE)
target_link_libraries(nghttp2 INTERFACE PkgConfig::nghttp2)
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
