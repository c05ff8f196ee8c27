// SPDX-License-Identifier: Apache-2.0
// The programs on real devices, and raw frames at the devices' other ends.
#pragma once

#include <vector>

#include "tests/datapath/datapath_fixture.hpp"

namespace causeway::test {

// One end of a link, as raw frames; made in the namespace that the thread is in.
class Wire {
public:
    explicit Wire(const char* device);

    void send(const Bytes& frame);

    // The same, and asks for a checksum to be made by a device later on: from byte start to the end, at start + offset.
    void send_unfinished(const Bytes& frame, std::size_t start, std::uint16_t offset);

    // The next frame that comes in, or nothing within the time.
    Bytes receive(int milliseconds = 2000);

private:
    UniqueFd fd_;
};

class Live : public InEachFamily {
protected:
    void SetUp() override;

    Wire far_end(const char* device);

    // Sends it and waits for the verdicts that it makes: those, each as often as it is named, and no others.
    void expect_ends(Wire& wire, const Frame& frame, const std::vector<enum verdict>& verdicts);
    void expect_end(Wire& wire, const Frame& frame, enum verdict verdict) { expect_ends(wire, frame, {verdict}); }
};

}  // namespace causeway::test
