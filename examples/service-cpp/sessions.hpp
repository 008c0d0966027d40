// Sessions: the state of one row each, between requests. A bounded table; requests of a session take turns.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "model.hpp"

using Clock = std::chrono::steady_clock;

// A session as it is kept in a file.
struct SavedSession {
    std::string model, sha256, id;
    uint64_t steps;
    double age_seconds, idle_seconds;
    std::vector<float> state;
};

struct SessionLimits {
    std::size_t sessions = 10000;
    std::chrono::duration<double> idle{600};
};

// What happened to sessions that no request asked for.
struct SessionEvents {
    std::function<void(const Model &)> expired = [](const Model &) {};
    std::function<void()> rejected = [] {};
};

class Sessions {
    struct Slot;

public:
    // The right to a session until it is destroyed. Turns are granted in the order in which they were asked for.
    class Turn {
    public:
        Turn(Turn &&other) noexcept;
        Turn &operator=(Turn &&) = delete;
        ~Turn();

        bool exists() const; // false: nobody began it yet, or it was ended
        const std::string &id() const;
        uint64_t steps() const;
        double age_seconds() const;
        double idle_seconds() const; // before this turn
        const std::vector<float> &state() const;

        void begin();                                                  // in the initial state, whatever was before
        void advance(const std::vector<float> &state, uint64_t steps); // fed so many steps more
        void end();

    private:
        friend Sessions;
        Turn(Sessions &sessions, std::shared_ptr<Slot> slot);

        Sessions *sessions_;
        std::shared_ptr<Slot> slot_;
    };

    explicit Sessions(SessionLimits limits, SessionEvents events = {},
                      std::function<Clock::time_point()> now = Clock::now);

    // Wait for a session. Throws Problem 404 if there is none.
    Turn find(const Model &model, const std::string &id);
    // Wait for a session that need not exist yet: begin() makes it. Throws Problem 429 if the table is full.
    Turn find_or_make(const Model &model, const std::string &id);
    // Make a session under a random id of 128 bits. Throws Problem 429.
    Turn make(const Model &model);

    void expire(); // drop the idle ones; called now and then
    std::size_t count(const Model &model) const;
    std::size_t queue(const Model &model, const std::string &id) const; // turns granted or waited for, now

    std::vector<SavedSession> save() const;
    // Put a saved session back. Throws Problem 429 where the table is full.
    void restore(const Model &model, const SavedSession &saved);

private:
    using Table = std::unordered_map<std::string, std::shared_ptr<Slot>>;

    std::shared_ptr<Slot> look_up(const std::string &key);
    std::shared_ptr<Slot> insert(const Model &model, const std::string &id);
    Turn take(std::unique_lock<std::mutex> &lock, std::shared_ptr<Slot> slot);
    bool is_idle(const Slot &slot) const;
    void expire_locked();

    SessionLimits limits_;
    SessionEvents events_;
    std::function<Clock::time_point()> now_;
    mutable std::mutex mutex_; // of the table and of all tickets
    Table table_;
};
