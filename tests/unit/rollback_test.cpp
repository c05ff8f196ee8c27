// SPDX-License-Identifier: Apache-2.0
// What was made is undone in reverse unless it is committed, and errors say what they must.
#include <gmock/gmock.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/expectation.hpp"
#include "userspace/rollback.hpp"

namespace causeway::test::rollback_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RollbackTest : public testing::Test {
protected:
    // A step whose undoing is written down, and fails if there is an error for it.
    void step(Rollback& rollback, const std::string& name, const std::optional<std::string>& error = std::nullopt) {
        rollback.on_failure([this, name, error]() -> std::expected<void, Error> {
            undone_.push_back(name);
            if (error) {
                return fail(Code::kernel, *error);
            }
            return {};
        });
    }

    std::vector<std::string> undone_;
    const Error error_{Code::conflict, "make c: it exists", "look there"};
};

TEST_F(RollbackTest, UndoesInReverseWhenItGoesOutOfScope) {
    {
        Rollback rollback;
        step(rollback, "a");
        step(rollback, "b");
        step(rollback, "c");
        EXPECT_THAT(undone_, IsEmpty());
    }
    EXPECT_THAT(undone_, ElementsAre("c", "b", "a"));
}

TEST_F(RollbackTest, UndoesNothingWhenItIsCommitted) {
    {
        Rollback rollback;
        step(rollback, "a");
        rollback.commit();
    }
    EXPECT_THAT(undone_, IsEmpty());
}

TEST_F(RollbackTest, UndoesOnlyWhatFollowedWhenItWasCommittedBefore) {
    {
        Rollback rollback;
        step(rollback, "a");
        rollback.commit();
        step(rollback, "b");
    }
    EXPECT_THAT(undone_, ElementsAre("b"));
}

TEST_F(RollbackTest, UndoesOnceWhenItFailsAndThenGoesOutOfScope) {
    {
        Rollback rollback;
        step(rollback, "a");
        rollback.failed(error_);
    }
    EXPECT_THAT(undone_, ElementsAre("a"));
}

TEST_F(RollbackTest, GoesOnWhenAnUndoingFails) {
    {
        Rollback rollback;
        step(rollback, "a");
        step(rollback, "b", "remove b: busy");
        step(rollback, "c");
    }
    EXPECT_THAT(undone_, ElementsAre("c", "b", "a"));
}

TEST_F(RollbackTest, ReturnsTheErrorAsItIsWhenAllIsUndone) {
    Rollback rollback;
    step(rollback, "a");
    const auto error = rollback.failed(error_);
    EXPECT_EQ(error.code, Code::conflict);
    EXPECT_EQ(error.message, "make c: it exists");
    EXPECT_EQ(error.details, "look there");
}

TEST_F(RollbackTest, ReturnsTheErrorAsItIsWhenThereIsNothingToUndo) {
    Rollback rollback;
    EXPECT_EQ(rollback.failed(error_).details, "look there");
}

TEST_F(RollbackTest, TellsAllThatIsLeftWhenUndoingsFail) {
    Rollback rollback;
    step(rollback, "a", "remove a: gone");
    step(rollback, "b");
    step(rollback, "c", "remove c: busy");
    const auto error = rollback.failed(error_);
    EXPECT_EQ(error.message, "make c: it exists");
    EXPECT_EQ(error.details, "look there; not undone: remove c: busy, remove a: gone");
}

TEST_F(RollbackTest, TellsWhatIsLeftWhenTheErrorHadNoDetails) {
    Rollback rollback;
    step(rollback, "a", "remove a: gone");
    EXPECT_EQ(rollback.failed({Code::kernel, "make b: busy"}).details, "not undone: remove a: gone");
}

TEST(KernelError, NamesTheStepAndTheReason) {
    const auto error = kernel_error(EEXIST, "create the veth pair a/b", "remove it");
    EXPECT_EQ(error.code, Code::kernel);
    EXPECT_EQ(error.message, "create the veth pair a/b: File exists");
    EXPECT_EQ(error.details, "remove it");
    EXPECT_EQ(error.number, EEXIST);
}

TEST(KernelError, TakesTheReasonFromErrnoWhenNoneIsGiven) {
    errno = EPERM;
    const auto error = errno_error("load the datapath");
    EXPECT_EQ(error.message, "load the datapath: Operation not permitted");
    EXPECT_EQ(error.number, EPERM);
}

std::expected<int, Error> twice(const std::expected<int, Error>& number) {
    return 2 * TRY(number);
}

TEST(Try, GoesOnWithTheValueWhenThereIsOne) {
    EXPECT_EQ(twice(21), 42);
}

TEST(Try, ReturnsTheErrorWhenThereIsNoValue) {
    EXPECT_TRUE(fails_with(twice(fail(Code::exhausted, "none left")), Code::exhausted, {"none left"}));
}

}  // namespace
}  // namespace causeway::test::rollback_test
