# Flags shared by all our targets, and the functions that declare them.

add_library(cairn_flags INTERFACE)
target_include_directories(cairn_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_options(cairn_flags INTERFACE -Wall -Wextra $<$<BOOL:${CAIRN_WERROR}>:-Werror>)
if(CAIRN_SANITIZE)
  target_compile_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  target_link_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE})
endif()

# cairn_library(NAME SOURCES file... [LINK target...])
function(cairn_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC cairn_flags ${ARG_LINK})
endfunction()

# cairn_program(NAME SOURCES file... [LINK target...])
function(cairn_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE cairn_flags ${ARG_LINK})
endfunction()

# What the sanitizer builds build: tests labelled `sanitized` (AddressSanitizer, UndefinedBehaviorSanitizer) and
# `threads` (ThreadSanitizer).
add_custom_target(sanitized_tests)
add_custom_target(threads_tests)

# cairn_label_target(TARGET label...): makes a test's program part of the sanitizer builds its labels ask for.
function(cairn_label_target target)
  foreach(label sanitized threads)
    if(label IN_LIST ARGN)
      add_dependencies(${label}_tests ${target})
    endif()
  endforeach()
endfunction()

# cairn_test(NAME SOURCES file... [LINK target...] [LABELS label...] [TIMEOUT seconds])
# One GoogleTest program, one ctest entry.
function(cairn_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE cairn_flags ${ARG_LINK} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  cairn_label_target(${name} ${ARG_LABELS})
endfunction()
