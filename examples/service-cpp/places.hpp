// A number of places for those who work; the others wait, first come, first served (std::counting_semaphore is not).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>

class Places {
public:
    explicit Places(std::size_t count) : free_(count) {}

    // A place that is held until the end of the scope.
    class Held {
    public:
        explicit Held(Places &places) : places_(places) { places_.acquire(); }
        Held(const Held &) = delete;
        Held &operator=(const Held &) = delete;
        ~Held() { places_.release(); }

    private:
        Places &places_;
    };

private:
    struct Waiter {
        bool granted = false;
        std::condition_variable turn{};
    };

    void acquire()
    {
        std::unique_lock lock(mutex_);
        if (free_ > 0) {
            free_--;
            return;
        }
        Waiter waiter;
        waiting_.push_back(&waiter);
        waiter.turn.wait(lock, [&] { return waiter.granted; });
    }

    void release()
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) {
            free_++;
            return;
        }
        waiting_.front()->granted = true; // the place goes to the first, without being free in between
        waiting_.front()->turn.notify_one();
        waiting_.pop_front();
    }

    std::mutex mutex_;
    std::size_t free_; // none while somebody waits
    std::deque<Waiter *> waiting_;
};
