// SPDX-License-Identifier: Apache-2.0
#include "userspace/error.hpp"

#include <cerrno>
#include <cstring>

namespace causeway {

Error kernel_error(int number, std::string_view step, std::string_view details) {
    return {Code::kernel, std::string(step) + ": " + std::strerror(number), std::string(details), number};
}

Error errno_error(std::string_view step) {
    return kernel_error(errno, step);
}

}  // namespace causeway
