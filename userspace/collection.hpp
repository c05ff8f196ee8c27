// SPDX-License-Identifier: Apache-2.0
// What no sandbox uses any more is removed: orphans, and networks and a datapath that nobody is left for. Layer 3.
#pragma once

#include <expected>

#include "userspace/orphan.hpp"

namespace causeway {

struct Collection {
    bool dry_run = false;           // nothing is removed
    bool records_too = true;        // else only what is on no record, and networks that no record has
    bool without_datapath = false;  // the pins are lost: what refuse_unseen refuses is nobody's
};

// Finds and removes, and returns what was found. Goes on after a failure and reports all; that another version's pins
// are there is one. When no sandbox is left, networks and datapath go too.
std::expected<Leftovers, Error> collect_orphans(const Collection& collection);

}  // namespace causeway
