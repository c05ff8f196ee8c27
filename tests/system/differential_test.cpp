// SPDX-License-Identifier: Apache-2.0
// The same traffic through causeway and through the kernel's masquerade: what comes out on each side is the same, up to
// chosen ports and IP identifications, but for the table of differences below.
//
// CAUSEWAY_TEST_SEED=N ./system-tests --gtest_filter='*DifferentialTraffic*' repeats a run.
#include <gmock/gmock.h>

#include <cstdlib>
#include <iostream>
#include <ranges>

#include "tests/system/traffic_mix.hpp"

namespace causeway::test {
namespace {

constexpr std::uint64_t usual_seed = 1;
constexpr std::size_t packets_at_least = 20'000, described_at_most = 5, listed_at_most = 40;

struct Difference {
    const Step& step;
    const Made& ours;
    const Made& kernels;
};

struct Accepted {
    const char* reason;
    bool (*is_this)(const Difference&);
};

// Every difference that there may be. What a row accepts is as narrow as its reason.
constexpr std::array<Accepted, 0> accepted{};

std::uint64_t seed() {
    const char* given = std::getenv("CAUSEWAY_TEST_SEED");
    return given ? std::strtoull(given, nullptr, 10) : usual_seed;
}

bool alike(const Made& one, const Made& other) {
    return one.like == other.like;
}

std::string in_words(const Difference& difference, const std::vector<Bytes>& sent) {
    std::string text = "sent:\n";
    for (const auto& frame : sent) {
        text += describe(frame) + "\n";
    }
    text += "causeway made of it" + describe(difference.ours.raw);
    text += "the kernel made of it" + describe(difference.kernels.raw);
    for (std::size_t place = 0; place < difference.ours.like.size(); ++place) {
        const auto &ours = difference.ours.like[place], &kernels = difference.kernels.like[place];
        for (std::size_t i = 0; i < std::min(ours.size(), kernels.size()); ++i) {
            for (std::size_t at = 0; ours.size() == kernels.size() && at < std::min(ours[i].size(), kernels[i].size());
                 ++at) {
                if (ours[i][at] != kernels[i][at]) {
                    text += "byte " + std::to_string(at) +
                            " of the IP packet, ports and checksums apart: " + std::to_string(ours[i][at]) +
                            ", the kernel's " + std::to_string(kernels[i][at]) + "\n";
                }
            }
        }
    }
    return text;
}

// A node beside the program's own, with a world of its own, named alike but for these letters.
std::string second_node(World& world) {
    const auto node = world.add_namespace("oracle"), outside = world.add_namespace("oracle-world");
    ip({"link", "set", "lo", "up"}, node);
    ip({"link", "add", "up0", "address", "02:00:cb:00:71:01", "type", "veth", "peer", "name", "dn0", "address",
        "02:00:cb:00:71:02", "netns", "oracle-world"},
       node);
    ip({"addr", "add", "203.0.113.1/24", "dev", "up0"}, node);
    ip({"link", "set", "up0", "up"}, node);
    ip({"addr", "add", "203.0.113.2/24", "dev", "dn0"}, outside);
    ip({"link", "set", "dn0", "up"}, outside);
    ip({"route", "add", "default", "via", world_address}, node);
    let_errors_flow(node);
    let_errors_flow(outside);
    return node;
}

class DifferentialTraffic : public Translating {
protected:
    void SetUp() override {
        const Terms terms{.patch = {{"mtu", 1500}, {"quota", {{"flows", 100000}, {"flowsPerSecond", 1000000}}}}};
        const std::vector ours{join("blue", terms), join("red", terms)};
        const auto node = second_node(world_);
        Masquerade masquerade(world_, node, terms);
        const std::vector kernels{masquerade.connect("oracle-blue"), masquerade.connect("oracle-red")};
        for (const auto& where : {std::string(), node}) {  // so that some packets are too big for it
            ip({"link", "set", "up0", "mtu", "1400"}, where);
        }
        roads_.reserve(2);
        roads_.emplace_back(ours, world_.world(), "");
        roads_.emplace_back(kernels, world_.path("oracle-world"), node);
        sides_.emplace_back(0, roads_[0]);
        sides_.emplace_back(1, roads_[1]);
    }

    static Made sent_through(Side& side, const Step& step, std::vector<Bytes>& frames) {
        frames = step.frames(side);
        for (const auto& frame : frames) {
            if (step.outward) {
                side.road().send_from_sandbox(frame, step.sandbox);
            } else {
                side.road().send_from_world(frame);
            }
        }
        return made(side, side.road().settle(), step.opens ? step.flow : nullptr);
    }

    std::vector<Crossing> roads_;
    std::vector<Side> sides_;
};

TEST_P(DifferentialTraffic, ComesOutTheSame) {
    TrafficMix mix(seed());
    std::size_t packets = 0, steps = 0, differences = 0;
    std::map<std::string, std::size_t> seen;  // by reason
    while (packets < packets_at_least) {
        const auto step = mix.next();
        std::vector<Bytes> sent, sent_to_kernel;
        const auto ours = sent_through(sides_[0], step, sent), kernels = sent_through(sides_[1], step, sent_to_kernel);
        packets += sent.size();
        ++steps;
        if (alike(ours, kernels)) {
            continue;
        }
        if (step.flow) {
            step.flow->retired = true;  // one of them may know it and the other not
        }
        const Difference difference{step, ours, kernels};
        const auto row = std::ranges::find_if(accepted, [&](const Accepted& one) { return one.is_this(difference); });
        if (row != accepted.end()) {
            ++seen[row->reason];
            continue;
        }
        if (++differences <= described_at_most) {
            ADD_FAILURE() << "seed " << seed() << ", step " << steps << ": " << step.words << "\n"
                          << in_words(difference, sent);
        } else if (differences <= listed_at_most) {
            ADD_FAILURE() << "seed " << seed() << ", step " << steps << ": " << step.words << "; causeway "
                          << ours.raw.size() << " frames, the kernel " << kernels.raw.size();
        }
    }
    EXPECT_EQ(differences, 0U) << "of " << steps << " steps, seed " << seed() << "\n" << counted();
    for (const auto& [reason, count] : seen) {
        std::cout << count << " times: " << reason << "\n";
    }
}

// The kernel with itself shows that the comparison finds nothing where there is nothing.
FOR_BOTH_TRANSLATORS(DifferentialTraffic);

}  // namespace
}  // namespace causeway::test
