# SPDX-License-Identifier: Apache-2.0
# Where the plugin goes, and not over the only one that can DEL what another version has loaded.

set(abi_header ${PROJECT_SOURCE_DIR}/include/causeway/abi.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${abi_header})
file(STRINGS ${abi_header} abi_version REGEX "^#define CAUSEWAY_ABI_VERSION [0-9]+")
string(REGEX MATCH "[0-9]+" abi_version "${abi_version}")

# Runtimes look in /opt/cni/bin; with another prefix than the default one everything stays below that.
install(CODE "
  set(causeway_cni_directory \"${CAUSEWAY_CNI_DIR}\")
  if(NOT causeway_cni_directory AND CMAKE_INSTALL_PREFIX STREQUAL \"/usr/local\")
    set(causeway_cni_directory /opt/cni/bin)
  elseif(NOT causeway_cni_directory)
    set(causeway_cni_directory \"\${CMAKE_INSTALL_PREFIX}/cni/bin\")
  endif()
  set(causeway_installed \"\$ENV{DESTDIR}\${causeway_cni_directory}/causeway\")
  file(GLOB causeway_others /sys/fs/bpf/causeway/v*)
  list(REMOVE_ITEM causeway_others /sys/fs/bpf/causeway/v${abi_version})
  if(causeway_others AND EXISTS \"\${causeway_installed}\")
    message(FATAL_ERROR \"Another version of causeway has sandboxes on this host: its pins are in \${causeway_others}. \"
      \"\${causeway_installed} would be replaced, and only that version can DEL them. DEL them first, or install with \"
      \"another --prefix.\")
  endif()")
