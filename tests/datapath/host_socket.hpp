// SPDX-License-Identifier: Apache-2.0
// A socket of the host's own, in the node's namespace. What fails throws std::system_error.
#pragma once

#include <sys/socket.h>

#include "tests/support/family.hpp"
#include "userspace/unique_fd.hpp"

namespace causeway::test {

class HostSocket {
public:
    HostSocket(Family family, int type, Ip ip, std::uint16_t port);

    HostSocket& listening();
    HostSocket& connecting(Ip ip, std::uint16_t port);  // never answered

private:
    static void require(int result, const char* what);

    UniqueFd fd_;
    Family family_;
};

}  // namespace causeway::test
