# The checks that need no compiler are tests like any other, and so is the proof that they find what they are for.
foreach(check includes words links)
  add_test(NAME lint.${check} COMMAND "${CMAKE_SOURCE_DIR}/tools/lint/${check}.py" WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(lint.${check} PROPERTIES LABELS lint TIMEOUT 20)
endforeach()
add_test(NAME lint.self COMMAND "${CMAKE_SOURCE_DIR}/tools/lint/lint_test.py")
set_tests_properties(lint.self PROPERTIES LABELS lint TIMEOUT 30)
add_test(NAME tools.test_run COMMAND "${CMAKE_SOURCE_DIR}/tools/test/self_test.py")
set_tests_properties(tools.test_run PROPERTIES LABELS lint TIMEOUT 240)
# What the documents say about keys and metrics is what the program says.
if(TARGET colony)
  add_test(NAME docs.tables COMMAND "${CMAKE_SOURCE_DIR}/tools/docs/tables.py" "$<TARGET_FILE:colony>")
  set_tests_properties(docs.tables PROPERTIES LABELS docs TIMEOUT 30)
endif()
# What a request costs the proxy, in counts. Measured on what people run: the release binary that ./dev test names, or this
# build's own when it is no sanitizer's.
if(TARGET colony)
  add_test(NAME gate.path COMMAND "${CMAKE_SOURCE_DIR}/bench/path.py" --check --requests 3200)
  set_tests_properties(gate.path PROPERTIES LABELS gate TIMEOUT 600)
  if(NOT COLONY_SANITIZE)
    set_tests_properties(gate.path PROPERTIES ENVIRONMENT "COLONY_E2E_BINARY=$<TARGET_FILE:colony>")
  endif()
endif()
