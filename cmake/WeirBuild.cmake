# Build rules shared by every folder: warnings, sanitizers, and weir_library().

option(WEIR_TESTS "build the tests" ON)
option(WEIR_BENCH "build the benchmarks" ON)
option(WEIR_CHECK "register the sanitized builds' tests too (./check does)" OFF)
option(WEIR_TOGETHER "compile a folder's files together: for a whole build, not for daily work" OFF)
set(WEIR_FUZZ_SECONDS 3 CACHE STRING "how long each fuzz target runs in ctest; two dozen make a minute")
set(WEIR_SANITIZE "" CACHE STRING "empty, 'address' (with undefined) or 'thread'")

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
                    -Woverloaded-virtual -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # TRY() is a statement expression, on purpose; g++ 12 sees ghosts in std::string and optional.
  add_compile_options(-Wno-pedantic -Wno-maybe-uninitialized -Wno-restrict
                      -Wno-stringop-overread -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(WEIR_SANITIZE STREQUAL "address")
  # Without the checks of every pointer that is followed: null and the wrong object the address sanitizer
  # sees too, x86 reads misaligned; they are a quarter of the build.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1
    -fno-sanitize=null,alignment,vptr,object-size,pointer-overflow,nonnull-attribute,returns-nonnull-attribute)
  add_link_options(-fsanitize=address,undefined)
elseif(WEIR_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -O1 -g1 -Wno-tsan)
  add_link_options(-fsanitize=thread)
endif()
# -O3 buys nothing outside engine/kernels (which asks for it) and costs a third of the build.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
find_program(WEIR_CCACHE ccache)
if(WEIR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${WEIR_CCACHE})
endif()
find_program(WEIR_LLD ld.lld)
if(WEIR_LLD)
  add_link_options(-fuse-ld=lld)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
if(WEIR_TESTS)
  find_package(GTest REQUIRED)
endif()

# ./check builds each unit test once: with address and undefined behaviour sanitizers where memory is
# handled by hand or bytes come from outside, in release where what counts is months of simulation or
# arithmetic over plain containers. The kernels are both, and built twice.
set(weir_sanitized base io wire kernels template grammar model serve compress train data guard)
set(weir_built_twice kernels)
# Tests of a folder with threads that have none of their own: not built with the thread sanitizer.
set(weir_unthreaded_serve batch chat_output forward lora output_text prefix_tree
    sampler speculate step_times)

# Most of what a file costs is templates that its neighbours instantiate too, so ./check and ./start
# compile the files of a folder together, ten at a time: half the time of a build. A name in an anonymous
# namespace is therefore used once in a folder. Kernels stay apart (each file has its own flags), so does
# wire itself (two kinds of JSON under one name), and so do files that instantiate codecs.
function(weir_compile_together target name)
  if(NOT WEIR_TOGETHER OR name STREQUAL "kernels" OR target STREQUAL "weir_wire")
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # takes the files for headers
  foreach(file ${ARGN})
    cmake_path(GET file PARENT_PATH folder)
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/src ${folder})
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    if(NOT file MATCHES "(codec|messages)\\.cc$")
      math(EXPR files_in_${folder} "${files_in_${folder}} + 1")
      math(EXPR batch "${files_in_${folder}} / 10")
      set_source_files_properties(${file} PROPERTIES UNITY_GROUP ${folder}_${batch})
    endif()
  endforeach()
endfunction()

# Headers that most files include and that cost seconds to read, compiled once for all folders of a
# kind: lib (no JSON), json, app, test.
set(weir_common_headers <string> <vector> <map> <memory> <functional> <optional> <algorithm> <fmt/format.h>)
function(weir_precompiled kind)
  if(NOT TARGET weir_pch_${kind})
    set(source ${CMAKE_BINARY_DIR}/pch/${kind}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "// carries precompiled headers\n")
    add_library(weir_pch_${kind} STATIC ${source})
    target_link_libraries(weir_pch_${kind} PRIVATE fmt::fmt spdlog::spdlog Threads::Threads)
    if(kind STREQUAL "test")  # shared by programs, and with their flags
      set_target_properties(weir_pch_test PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(weir_pch_test PRIVATE -fPIE -O1)
      target_link_libraries(weir_pch_${kind} PRIVATE GTest::gmock GTest::gtest)
    endif()
    target_precompile_headers(weir_pch_${kind} PRIVATE ${weir_common_headers} ${ARGN})
  endif()
endfunction()
function(weir_precompile target kind)
  if(kind STREQUAL "lib")
    weir_precompiled(lib)
  elseif(kind STREQUAL "json")
    weir_precompiled(json <nlohmann/json.hpp>)
  elseif(kind STREQUAL "app")
    weir_precompiled(app <nlohmann/json.hpp> <CLI/CLI.hpp>)
  else()
    weir_precompiled(test <nlohmann/json.hpp> <gtest/gtest.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM weir_pch_${kind})
endfunction()

# weir_library(NAME [DEPS lib...] [LINK external...])
#   every *.cc beside the CMakeLists.txt (and in SUBDIRS) except *_test.cc, *_fuzz.cc, *_main.cc
#   every *_test.cc goes into one program NAME_test, run by ctest as unit.NAME
#   every *_fuzz.cc becomes NAME_STEM: LLVMFuzzerTestOneInput plus a plain driver (tests/fuzz_main.cc)
#   linkcheck_NAME links the whole archive with DEPS alone: an undeclared call is a link error
function(weir_library name)
  cmake_parse_arguments(A "" "" "DEPS;LINK;SUBDIRS" ${ARGN})
  file(GLOB all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(d ${A_SUBDIRS})
    file(GLOB more CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${d}/*.cc)
    list(APPEND all ${more})
  endforeach()
  set(srcs ${all})
  list(FILTER srcs EXCLUDE REGEX "(^|[_/])(test|fuzz|main)\\.cc$|_(test|fuzz|main)\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(WEIR_SANITIZE STREQUAL "thread")
    foreach(stem ${weir_unthreaded_${name}})
      list(FILTER tests EXCLUDE REGEX "/${stem}_test\\.cc$")
    endforeach()
  endif()
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(TRANSFORM A_DEPS PREPEND weir_ OUTPUT_VARIABLE deps)

  if(srcs)
    add_library(weir_${name} STATIC ${srcs})
    target_include_directories(weir_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(weir_${name} PUBLIC ${deps} ${A_LINK})
    set(kind lib)
    if(name STREQUAL "app")
      set(kind app)
      # Flags and tables for people: nobody waits for them, and CLI11 costs seconds a file to optimise.
      target_compile_options(weir_app PRIVATE -O1)
    elseif("wire" IN_LIST A_DEPS OR A_LINK MATCHES "nlohmann")
      set(kind json)
    endif()
    weir_precompile(weir_${name} ${kind})
    weir_compile_together(weir_${name} ${name} ${srcs})
    if(NOT WEIR_SANITIZE)
      file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty_main.cc "int main() { return 0; }\n")
      add_executable(linkcheck_${name} ${CMAKE_CURRENT_BINARY_DIR}/empty_main.cc)
      target_link_libraries(linkcheck_${name} PRIVATE
        -Wl,--whole-archive $<TARGET_FILE:weir_${name}> -Wl,--no-whole-archive ${deps} ${A_LINK})
      add_dependencies(linkcheck_${name} weir_${name})
    endif()
  else()
    add_library(weir_${name} INTERFACE)
    target_include_directories(weir_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(weir_${name} INTERFACE ${deps} ${A_LINK})
  endif()
  file(RELATIVE_PATH folder ${CMAKE_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR})
  set(elsewhere OFF)  # in ./check's main build: the tests are those of the sanitized build
  if(WEIR_CHECK AND name IN_LIST weir_sanitized)
    set(elsewhere ON)
  endif()
  if(WEIR_TESTS AND tests)
    set_property(GLOBAL APPEND PROPERTY WEIR_UNIT_TESTS ${name})
    set_property(GLOBAL PROPERTY WEIR_UNIT_TEST_FOLDER_${name} ${folder})
  endif()
  if(WEIR_TESTS AND tests AND (NOT elsewhere OR name IN_LIST weir_built_twice))
    add_executable(${name}_test ${tests})
    # At -O0 their slow copies of inline functions would be the ones that are linked.
    target_compile_options(${name}_test PRIVATE -O1)
    target_link_libraries(${name}_test PRIVATE weir_${name} GTest::gmock GTest::gtest_main)
    weir_precompile(${name}_test test)
    if(NOT WEIR_SANITIZE STREQUAL "thread")  # few files, and other neighbours than elsewhere
      weir_compile_together(${name}_test ${name} ${tests})
    endif()
    if(WEIR_CHECK)
      add_test(NAME unit.${name} COMMAND ${CMAKE_SOURCE_DIR}/scripts/run_once.sh
               ${CMAKE_BINARY_DIR}/passed $<TARGET_FILE:${name}_test>)
    else()
      add_test(NAME unit.${name} COMMAND ${name}_test)
    endif()
    set_tests_properties(unit.${name} PROPERTIES TIMEOUT 300 LABELS unit
      ENVIRONMENT "WEIR_SHARED=${CMAKE_SOURCE_DIR}/../shared;WEIR_SOURCE=${CMAKE_SOURCE_DIR}")
  endif()
  # Fuzz targets run where the tests do.
  if(WEIR_TESTS AND NOT WEIR_SANITIZE STREQUAL "thread")
    foreach(f ${fuzzers})
      get_filename_component(stem ${f} NAME_WE)
      set(program ${name}_${stem})
      if(NOT elsewhere)
        add_executable(${name}_${stem} ${f} ${CMAKE_SOURCE_DIR}/tests/fuzz_main.cc)
        target_link_libraries(${name}_${stem} PRIVATE weir_${name})
        if(name IN_LIST weir_sanitized)
          set_property(GLOBAL APPEND PROPERTY WEIR_FUZZ_TARGETS ${name}_${stem})
        endif()
      else()
        set(program ${CMAKE_SOURCE_DIR}/build/asan/${folder}/${name}_${stem})
      endif()
      add_test(NAME fuzz.${name}.${stem}
               COMMAND ${program} --seconds ${WEIR_FUZZ_SECONDS} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${stem})
      set_tests_properties(fuzz.${name}.${stem} PROPERTIES TIMEOUT 120 LABELS fuzz
        ENVIRONMENT "WEIR_SHARED=${CMAKE_SOURCE_DIR}/../shared")
    endforeach()
  endif()
endfunction()
