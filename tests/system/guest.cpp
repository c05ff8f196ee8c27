// SPDX-License-Identifier: Apache-2.0
#include "tests/system/guest.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/system/host.hpp"

namespace causeway::test {

Guest::Guest(const std::string& tap) : socket_(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    tap.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(socket_.fd(), TUNSETIFF, &request) != 0) {
        fail("attach to the tap " + tap);
    }
}

void Guest::send(const Frame& frame) {
    const auto bytes = frame.bytes();
    if (write(socket_.fd(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
        fail("send a frame as a guest");
    }
}

std::optional<Bytes> Guest::next(const std::function<bool(const Bytes&)>& wanted, std::chrono::milliseconds time) {
    std::optional<Bytes> found;
    eventually(
        [&] {
            Bytes frame(2048);
            const auto got = read(socket_.fd(), frame.data(), frame.size());
            frame.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
            if (got > 0 && wanted(frame)) {
                found = frame;
            }
            return found.has_value();
        },
        time);
    return found;
}

}  // namespace causeway::test
