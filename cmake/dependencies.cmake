# SPDX-License-Identifier: Apache-2.0
# What the build needs from the system, each with the Debian package that has it.

find_package(PkgConfig REQUIRED)
pkg_check_modules(MNL REQUIRED IMPORTED_TARGET libmnl)      # libmnl-dev
pkg_check_modules(LIBBPF REQUIRED libbpf>=1.1)              # libbpf-dev, libelf-dev, zlib1g-dev
find_package(nlohmann_json 3.11 REQUIRED)                   # nlohmann-json3-dev
find_package(CLI11 2.1 REQUIRED)                            # libcli11-dev

# libbpf and what it needs are linked in, so that the plugin is one file that starts fast.
find_library(LIBBPF_ARCHIVE libbpf.a REQUIRED)
find_library(LIBELF_ARCHIVE libelf.a REQUIRED)
find_library(LIBZ_ARCHIVE libz.a REQUIRED)
add_library(causeway-libbpf INTERFACE)
target_link_libraries(causeway-libbpf INTERFACE ${LIBBPF_ARCHIVE} ${LIBELF_ARCHIVE} ${LIBZ_ARCHIVE})

# The compiler of the BPF programs, whatever compiles the rest.
find_program(CAUSEWAY_CLANG NAMES clang clang-19 clang-16 clang-15 clang-14)
if(NOT CAUSEWAY_CLANG)
  message(FATAL_ERROR "clang is needed to compile the BPF programs and was not found: apt-get install clang, "
                      "or set CAUSEWAY_CLANG to one")
endif()
execute_process(COMMAND ${CAUSEWAY_CLANG} --version OUTPUT_VARIABLE clang_says ERROR_QUIET)
string(REGEX MATCH "clang version ([0-9]+)" _ "${clang_says}")
if(NOT CMAKE_MATCH_1 OR CMAKE_MATCH_1 LESS 14)
  message(FATAL_ERROR "${CAUSEWAY_CLANG} is not clang 14 or later (it says: ${clang_says}): BPF programs need "
                      "-mcpu=v3 and BTF; apt-get install clang, or set CAUSEWAY_CLANG to a later one")
endif()

find_program(CAUSEWAY_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin)
if(NOT CAUSEWAY_BPFTOOL)
  message(FATAL_ERROR "bpftool is needed to embed the BPF programs and was not found: apt-get install bpftool, "
                      "or set CAUSEWAY_BPFTOOL")
endif()
