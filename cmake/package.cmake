# What cmake --install puts where, and the same for the Python package (component "python", built by scikit-build-core).
# Shared libraries that are not the compiler's travel with the binary: in lib/colony of a prefix, in the wheel.
if(NOT TARGET colony)
  return()
endif()
include(GNUInstallDirs)

# Copies what the binary is linked with, at install time, under the name that the loader looks for. The patterns after
# the component say what stays behind.
function(colony_install_libraries destination component)
  list(TRANSFORM ARGN REPLACE "(.+)" "[==[\\1]==]")
  list(JOIN ARGN " " patterns)
  install(CODE "
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES \"$<TARGET_FILE:colony>\" RESOLVED_DEPENDENCIES_VAR found
         PRE_EXCLUDE_REGEXES ${patterns})
    foreach(library IN LISTS found)
      get_filename_component(name \"\${library}\" NAME)
      get_filename_component(file \"\${library}\" REALPATH)
      file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${destination}\" RENAME \"\${name}\"
           FILES \"\${file}\")
    endforeach()" COMPONENT ${component})
endfunction()

if(SKBUILD)
  # auditwheel takes the libraries into the wheel and points the binary at them, all but libstdc++ and libgcc_s, which it
  # thinks every machine has. RPATH, not RUNPATH: it also holds for what those load in turn, ONNX Runtime included.
  set_target_properties(colony PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  target_link_options(colony PRIVATE -Wl,--disable-new-dtags -s)
  install(TARGETS colony RUNTIME DESTINATION colony/bin COMPONENT python)
  colony_install_libraries(colony/lib python "^lib([^sg]|s[^t]|g[^c])" "^ld-linux")
  return()
endif()

set_target_properties(colony PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/colony")
target_link_options(colony PRIVATE -Wl,--disable-new-dtags)
install(TARGETS colony RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT colony)
colony_install_libraries("${CMAKE_INSTALL_LIBDIR}/colony" colony
                         "^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|stdc[+][+]|gcc_s))[.]so")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/colony" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT colony)
