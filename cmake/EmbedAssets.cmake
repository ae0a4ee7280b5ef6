# Embeds the files under DIR (the built dashboard) in a C++ source that defines
# weir::gateway::EmbeddedAssets(). Without DIR, or with nothing in it, the table is empty.
#
#   include(EmbedAssets)
#   weir_embed_assets(TARGET DIR)
#
# The bytes are taken by the assembler (.incbin), so that a megabyte costs no compile time. The same
# file, run with cmake -P, is the step that writes the source: at build time, so that a dashboard
# that was rebuilt is embedded again.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(WEIR_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(weir_embed_assets target dir)
    file(GLOB_RECURSE files CONFIGURE_DEPENDS ${dir}/*)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/embedded_assets.cc)
    add_custom_command(
      OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -DDIR=${dir} -DOUT=${out} -P ${WEIR_EMBED_SCRIPT}
      DEPENDS ${files} ${WEIR_EMBED_SCRIPT}
      COMMENT "Embedding the dashboard"
      VERBATIM)
    target_sources(${target} PRIVATE ${out})
    set_source_files_properties(${out} PROPERTIES OBJECT_DEPENDS "${files}")
  endfunction()
  return()
endif()

file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${DIR} ${DIR}/*)
list(SORT files)
list(FILTER files EXCLUDE REGEX "\\.map$")
set(text "// Written by cmake/EmbedAssets.cmake.\n#include \"gateway/api/assets.h\"\n\n")
set(table "")
set(n 0)
foreach(f ${files})
  file(SHA256 ${DIR}/${f} hash)
  string(SUBSTRING ${hash} 0 24 hash)
  string(APPEND text
    "// ${hash}\n"
    "__asm__(\".section .rodata\\n\"\n"
    "        \".balign 16\\n\"\n"
    "        \"weir_asset_${n}:\\n\"\n"
    "        \".incbin \\\"${DIR}/${f}\\\"\\n\"\n"
    "        \"weir_asset_${n}_end:\\n\"\n"
    "        \".byte 0\\n\"\n"
    "        \".previous\\n\");\n"
    "extern \"C\" __attribute__((visibility(\"hidden\"))) const char weir_asset_${n}[];\n"
    "extern \"C\" __attribute__((visibility(\"hidden\"))) const char weir_asset_${n}_end[];\n")
  string(APPEND table
    "      {\"/${f}\",\n"
    "       {weir_asset_${n}, static_cast<size_t>(weir_asset_${n}_end - weir_asset_${n})},\n"
    "       \"\\\"${hash}\\\"\"},\n")
  math(EXPR n "${n} + 1")
endforeach()
string(APPEND text "\nnamespace weir::gateway {\n\nstd::span<const Asset> EmbeddedAssets() {\n")
if(n EQUAL 0)
  string(APPEND text "  return {};\n")
else()
  string(APPEND text "  static const Asset kAssets[] = {\n${table}  };\n  return kAssets;\n")
endif()
string(APPEND text "}\n\n}  // namespace weir::gateway\n")
file(WRITE ${OUT} "${text}")
