# Runs `program`; it has to succeed and to print what is in the file `expected`.
execute_process(COMMAND "${program}" OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE status)
file(READ "${expected}" wanted)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${program} ended with ${status}\n${errors}${output}")
endif()
if(NOT output STREQUAL wanted)
  message(FATAL_ERROR "${program} printed\n${output}\nbut ${expected} has\n${wanted}")
endif()
