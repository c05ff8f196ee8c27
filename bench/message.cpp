// SPDX-License-Identifier: Apache-2.0
#include "bench/message.hpp"

#include <sys/socket.h>

#include <cstring>

namespace causeway::bench {
namespace {

// A stream socket may deliver it in pieces.
bool receive(int fd, Message& message) {
    return recv(fd, message.data(), message.size(), MSG_WAITALL) == static_cast<ssize_t>(message.size());
}

bool transmit(int fd, const Message& message) {
    return send(fd, message.data(), message.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(message.size());
}

std::uint64_t number_of(const Message& message) {
    std::uint64_t number = 0;
    std::memcpy(&number, message.data(), sizeof number);
    return number;
}

}  // namespace

bool exchange(int fd, std::uint64_t number) {
    Message request{}, reply{};
    std::memcpy(request.data(), &number, sizeof number);
    if (!transmit(fd, request)) {
        return false;
    }
    do {
        if (!receive(fd, reply)) {
            return false;
        }
    } while (number_of(reply) < number);
    return reply == request;
}

void echo_stream(int fd) {
    for (Message message{}; receive(fd, message) && transmit(fd, message);) {
    }
}

}  // namespace causeway::bench
