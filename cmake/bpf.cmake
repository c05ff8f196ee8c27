# SPDX-License-Identifier: Apache-2.0

# causeway_add_bpf(TARGET NAME): NAME.bpf.c -> object -> NAME.skel.h with a struct NAME_skeleton, which holds the object
# itself: nothing is looked up at run time. Whoever links TARGET can include the header.
function(causeway_add_bpf target name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CAUSEWAY_CLANG} --target=bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror
            -I${PROJECT_SOURCE_DIR}/include -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -MD -MF ${object}.d
            -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "Compiling ${name}.bpf.c for BPF"
    VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${CAUSEWAY_BPFTOOL} gen skeleton ${object} name ${name}_skeleton > ${skeleton}
    DEPENDS ${object}
    COMMENT "Embedding ${name}.bpf.o"
    VERBATIM)
  add_custom_target(${target}-object DEPENDS ${skeleton})
  add_library(${target} INTERFACE)
  add_dependencies(${target} ${target}-object)
  target_include_directories(${target} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
