// Checks of the sessions without the network: order, ends, bounds, expiry, the file. Prints what is wrong; exits 1.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "problem.hpp"
#include "save.hpp"
#include "sessions.hpp"

static std::atomic<int> failures = 0;

#define CHECK(condition)                                                                                               \
    if (!(condition)) std::cerr << __FILE__ << ':' << __LINE__ << ": expected " #condition "\n", failures++

static void initial_state(std::size_t, float *state)
{
    state[0] = state[1] = 0.5f;
}

static const RecurrentModel net{"net", 0, 0, nullptr, nullptr, 2, 0, nullptr, nullptr, initial_state};
static const std::vector<Model> models{{&net, "net", "the sum of net", {}, {}, {}, {}}};
static const Model &model = models[0];

// A clock that tests set.
struct Time {
    std::atomic<int> seconds = 0;
    std::function<Clock::time_point()> clock()
    {
        return [this] { return Clock::time_point(std::chrono::seconds(1000 + seconds)); };
    }
};

template <typename Call>
static int status_of(Call call)
{
    try {
        call();
    } catch (const Problem &problem) {
        return problem.status;
    }
    return 200;
}

static void advance(Sessions &sessions, const std::string &id, float value)
{
    auto turn = sessions.find(model, id);
    turn.advance({turn.state()[0] + value, value}, 1);
}

// Wait until so many have or want the session "a".
static void wait_for_queue(const Sessions &sessions, std::size_t length)
{
    while (sessions.queue(model, "a") < length) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

static void test_life_of_a_session()
{
    Sessions sessions({});
    const std::string id = sessions.make(model).id();
    CHECK(id.size() == 32 && id != sessions.make(model).id());
    CHECK(sessions.count(model) == 2);
    CHECK(sessions.find(model, id).state() == std::vector<float>({0.5f, 0.5f}));
    advance(sessions, id, 2);
    CHECK(sessions.find(model, id).state() == std::vector<float>({2.5f, 2}));
    CHECK(sessions.find(model, id).steps() == 1);
    sessions.find_or_make(model, id).begin();
    CHECK(sessions.find(model, id).steps() == 0);
    sessions.find(model, id).end();
    CHECK(status_of([&] { sessions.find(model, id); }) == 404);
    CHECK(sessions.count(model) == 1);
}

static void test_what_was_never_begun_leaves_nothing()
{
    Sessions sessions({});
    CHECK(!sessions.find_or_make(model, "a").exists());
    CHECK(sessions.count(model) == 0);
}

// Turns are granted as asked for. Each thread asks while the test holds the session, after the one before.
static void test_turns_in_order()
{
    const int threads = 8;
    Sessions sessions({});
    std::vector<int> order;
    std::vector<std::jthread> running;
    auto first = std::make_unique<Sessions::Turn>(sessions.find_or_make(model, "a"));
    first->begin();
    for (int i = 0; i < threads; i++) {
        running.emplace_back([&, i] {
            auto turn = sessions.find(model, "a");
            order.push_back(i); // a turn excludes all others
            turn.advance(turn.state(), 1);
        });
        wait_for_queue(sessions, 2 + static_cast<std::size_t>(i));
    }
    first.reset();
    running.clear();
    CHECK(order == std::vector({0, 1, 2, 3, 4, 5, 6, 7}));
    CHECK(sessions.find(model, "a").steps() == threads);
}

// Who waited behind an end is told so, unless a start came in between.
static void test_end_and_start_while_others_wait()
{
    Sessions sessions({});
    auto first = std::make_unique<Sessions::Turn>(sessions.find_or_make(model, "a"));
    first->begin();
    int before = 0, after = 0;
    const auto ask = [&](int &status) { status = status_of([&] { sessions.find(model, "a"); }); };
    std::jthread one([&] { ask(before); });
    wait_for_queue(sessions, 2);
    std::jthread two([&] { sessions.find_or_make(model, "a").begin(); });
    wait_for_queue(sessions, 3);
    std::jthread three([&] { ask(after); });
    wait_for_queue(sessions, 4);
    first->end();
    first.reset();
    one.join();
    two.join();
    three.join();
    CHECK(before == 404);
    CHECK(after == 200);
}

static void test_no_more_than_the_limit()
{
    int rejected = 0;
    Sessions sessions({2, std::chrono::seconds(10)}, {[](const Model &) {}, [&] { rejected++; }});
    sessions.make(model);
    const std::string id = sessions.make(model).id();
    CHECK(status_of([&] { sessions.make(model); }) == 429);
    CHECK(status_of([&] { sessions.find_or_make(model, "a"); }) == 429);
    CHECK(status_of([&] { sessions.find_or_make(model, id); }) == 200);
    CHECK(rejected == 2);
    sessions.find(model, id).end();
    CHECK(status_of([&] { sessions.make(model); }) == 200);
}

static void test_idle_sessions_expire()
{
    Time time;
    int expired = 0;
    Sessions sessions({3, std::chrono::seconds(10)}, {[&](const Model &) { expired++; }, [] {}}, time.clock());
    const std::string asked = sessions.make(model).id(), swept = sessions.make(model).id(),
                      used = sessions.make(model).id();
    time.seconds = 8;
    advance(sessions, used, 1);
    time.seconds = 11;
    CHECK(status_of([&] { sessions.find(model, asked); }) == 404);
    CHECK(expired == 1);
    sessions.expire();
    CHECK(expired == 2);
    CHECK(status_of([&] { sessions.find(model, swept); }) == 404);
    CHECK(sessions.find(model, used).idle_seconds() == 3);
    CHECK(sessions.find(model, used).age_seconds() == 11);
    time.seconds = 30;
    CHECK(status_of([&] { sessions.make(model), sessions.make(model), sessions.make(model); }) == 200); // makes room
}

// Many threads, few sessions, ends and expiry meanwhile: for the sanitizers; what was fed is counted exactly.
static void test_many_at_a_time()
{
    const int threads = 8, rounds = 2000;
    Sessions sessions({4, std::chrono::seconds(1000)});
    for (const char *id : {"a", "b", "c"}) sessions.find_or_make(model, id).begin();
    std::vector<std::jthread> running;
    for (int i = 0; i < threads; i++)
        running.emplace_back([&, i] {
            for (int round = 0; round < rounds; round++) {
                advance(sessions, round % 2 ? "a" : "b", 1);
                if (i == 0) sessions.expire(), sessions.save();
                auto turn = sessions.find_or_make(model, "d");
                turn.exists() ? turn.end() : turn.begin();
            }
        });
    running.clear();
    CHECK(sessions.find(model, "a").steps() == threads * rounds / 2);
    CHECK(sessions.find(model, "b").state()[0] == 0.5f + threads * rounds / 2);
}

static bool is_refused(const std::filesystem::path &file)
{
    try {
        Sessions sessions({});
        restore_sessions(sessions, models, file);
    } catch (const std::runtime_error &error) {
        return std::string(error.what()).find(file.string()) != std::string::npos;
    }
    return false;
}

static std::string read(const std::filesystem::path &file)
{
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

static void test_damaged_files_are_refused(const std::filesystem::path &file)
{
    const std::string whole = read(file);
    for (const std::size_t length : {std::size_t{0}, std::size_t{5}, whole.size() - 1}) {
        std::ofstream(file, std::ios::binary) << whole.substr(0, length);
        CHECK(is_refused(file));
    }
    for (std::size_t at = 0; at < whole.size(); at += 7) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ 16);
        std::ofstream(file, std::ios::binary) << flipped;
        CHECK(is_refused(file));
    }
}

static void test_save_and_restore()
{
    const auto folder = std::filesystem::temp_directory_path() / ("sessions_test." + std::to_string(getpid()));
    const auto file = folder / "sessions";
    std::filesystem::create_directory(folder);
    Time time;
    Sessions sessions({}, {}, time.clock());
    sessions.find_or_make(model, "a").begin();
    time.seconds = 5;
    advance(sessions, "a", 3);
    time.seconds = 7;
    save_sessions(sessions, file);
    CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1); // nothing half done

    time.seconds = 100; // the time in between does not count
    Sessions restored({}, {}, time.clock());
    CHECK(restore_sessions(restored, models, file).sessions == 1);
    const auto turn = std::make_unique<Sessions::Turn>(restored.find(model, "a"));
    CHECK(turn->state() == std::vector<float>({3.5f, 3}) && turn->steps() == 1);
    CHECK(turn->age_seconds() == 7 && turn->idle_seconds() == 2);

    const std::vector<Model> changed{{&net, "net", "another sum", {}, {}, {}, {}}};
    Sessions others({});
    CHECK(restore_sessions(others, changed, file).changed == 1);
    CHECK(others.count(changed[0]) == 0);
    Sessions none({0, std::chrono::seconds(1)});
    CHECK(restore_sessions(none, models, file).refused == 1);
    CHECK(restore_sessions(none, models, folder / "no file").sessions == 0);
    test_damaged_files_are_refused(file);
    std::filesystem::remove_all(folder);
}

int main()
{
    test_life_of_a_session();
    test_what_was_never_begun_leaves_nothing();
    test_turns_in_order();
    test_end_and_start_while_others_wait();
    test_no_more_than_the_limit();
    test_idle_sessions_expire();
    test_many_at_a_time();
    test_save_and_restore();
    return failures ? 1 : 0;
}
