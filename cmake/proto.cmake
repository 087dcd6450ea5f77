# Every proto/**/*.proto becomes part of one library, colony_proto. proto/ is the root of the import paths, so
# proto/colony/engine/v1/engine.proto is included as "colony/engine/v1/engine.pb.h".
function(colony_proto)
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/proto" "${CMAKE_SOURCE_DIR}/proto/*.proto")
  if(NOT protos)
    return()
  endif()
  set(out "${CMAKE_BINARY_DIR}/gen")
  file(MAKE_DIRECTORY "${out}")
  set(sources "")
  foreach(proto ${protos})
    string(REGEX REPLACE "\\.proto$" ".pb" stem "${proto}")
    add_custom_command(
      OUTPUT "${out}/${stem}.cc" "${out}/${stem}.h"
      COMMAND protobuf::protoc "--proto_path=${CMAKE_SOURCE_DIR}/proto" "--cpp_out=${out}" "${proto}"
      DEPENDS "${CMAKE_SOURCE_DIR}/proto/${proto}"
      COMMENT "protoc ${proto}")
    list(APPEND sources "${out}/${stem}.cc" "${out}/${stem}.h")
  endforeach()
  add_library(colony_proto STATIC ${sources})
  target_include_directories(colony_proto SYSTEM PUBLIC "${out}")
  target_compile_options(colony_proto PRIVATE -w)
  target_link_libraries(colony_proto PUBLIC protobuf::libprotobuf)
endfunction()
