# SPDX-License-Identifier: Apache-2.0
# cmake -D SOURCE=DIR -D HEADER=FILE -P commit.cmake: writes into FILE, if it has changed, which commit is built.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -c safe.directory=* describe --always --dirty --abbrev=12 --exclude=*
                WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE
                RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define CAUSEWAY_COMMIT \"@commit@\"\n" @ONLY)
