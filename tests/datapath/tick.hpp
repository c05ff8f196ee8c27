// SPDX-License-Identifier: Apache-2.0
// What the programs have decided holds for a tick of the kernel's clock. So the first packet after a change waits for
// another tick than that of the packets before it.
#pragma once

namespace causeway::test {

class Tick {
public:
    static void note_change() { changed_ = true; }
    static void await_after_change();

private:
    static inline bool changed_ = false;
};

}  // namespace causeway::test
