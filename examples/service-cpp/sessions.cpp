#include "sessions.hpp"

#include <random>
#include <utility>

#include "problem.hpp"

// Tickets belong to the table's mutex; the rest to whoever has the turn, and with nobody waiting to the mutex too.
struct Sessions::Slot {
    Slot(const Model &model, std::string id) : model(&model), id(std::move(id)), state(model.net->state_size) {}

    const Model *model;
    const std::string id;
    std::vector<float> state;
    bool exists = false;
    uint64_t steps = 0;
    Clock::time_point created{}, used{};
    uint64_t next_ticket = 0, serving = 0;
    std::condition_variable turn{};

    bool is_free() const { return next_ticket == serving; }
};

static std::string key_of(const Model &model, const std::string &id)
{
    return model.name + '/' + id; // a model's name has no slash
}

static double seconds(Clock::duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

static Clock::duration from_seconds(double seconds)
{
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

static std::string random_id()
{
    static const char digits[] = "0123456789abcdef";
    std::random_device device; // the system's, good for secrets on Linux
    std::string id;
    for (int word = 0; word < 4; word++)
        for (unsigned bits = device(), digit = 0; digit < 8; digit++, bits >>= 4) id += digits[bits & 15];
    return id;
}

Sessions::Sessions(SessionLimits limits, SessionEvents events, std::function<Clock::time_point()> now)
    : limits_(limits),
      events_(std::move(events)),
      now_(std::move(now))
{
}

// Give the slot of a session; null if there is none, or nobody came back for it in time.
std::shared_ptr<Sessions::Slot> Sessions::look_up(const std::string &key)
{
    const auto found = table_.find(key);
    if (found == table_.end()) return nullptr;
    if (!is_idle(*found->second)) return found->second;
    events_.expired(*found->second->model);
    table_.erase(found);
    return nullptr;
}

std::shared_ptr<Sessions::Slot> Sessions::insert(const Model &model, const std::string &id)
{
    if (table_.size() >= limits_.sessions) expire_locked();
    if (table_.size() >= limits_.sessions) {
        events_.rejected();
        throw Problem(
            429, text("expected fewer than ", limits_.sessions, " sessions, got one more; end some, or try again"));
    }
    auto slot = std::make_shared<Slot>(model, id);
    table_.emplace(key_of(model, id), slot);
    return slot;
}

Sessions::Turn Sessions::take(std::unique_lock<std::mutex> &lock, std::shared_ptr<Slot> slot)
{
    const uint64_t ticket = slot->next_ticket++;
    slot->turn.wait(lock, [&] { return slot->serving == ticket; });
    return Turn(*this, std::move(slot));
}

static Problem unknown_session(const Model &model, const std::string &id)
{
    return {404, text("expected a session of ", model.name, ", got ", id,
                      ", which never began, has ended or was idle for too long; begin one with sequence_start")};
}

Sessions::Turn Sessions::find(const Model &model, const std::string &id)
{
    std::unique_lock lock(mutex_);
    auto slot = look_up(key_of(model, id));
    if (!slot) throw unknown_session(model, id);
    Turn turn = take(lock, std::move(slot));
    lock.unlock(); // the end of a turn takes it
    if (!turn.exists()) throw unknown_session(model, id);
    return turn;
}

Sessions::Turn Sessions::find_or_make(const Model &model, const std::string &id)
{
    std::unique_lock lock(mutex_);
    auto slot = look_up(key_of(model, id));
    return take(lock, slot ? std::move(slot) : insert(model, id));
}

Sessions::Turn Sessions::make(const Model &model)
{
    Turn turn = find_or_make(model, random_id());
    turn.begin();
    return turn;
}

bool Sessions::is_idle(const Slot &slot) const
{
    return slot.is_free() && now_() - slot.used > limits_.idle;
}

void Sessions::expire_locked()
{
    for (auto entry = table_.begin(); entry != table_.end();) {
        const bool idle = is_idle(*entry->second);
        if (idle) events_.expired(*entry->second->model);
        entry = idle ? table_.erase(entry) : std::next(entry);
    }
}

void Sessions::expire()
{
    const std::lock_guard lock(mutex_);
    expire_locked();
}

std::size_t Sessions::count(const Model &model) const
{
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    for (const auto &[key, slot] : table_) count += slot->model == &model;
    return count;
}

std::size_t Sessions::queue(const Model &model, const std::string &id) const
{
    const std::lock_guard lock(mutex_);
    const auto found = table_.find(key_of(model, id));
    return found == table_.end() ? 0 : found->second->next_ticket - found->second->serving;
}

std::vector<SavedSession> Sessions::save() const
{
    const std::lock_guard lock(mutex_);
    std::vector<SavedSession> all;
    for (const auto &[key, slot] : table_) {
        if (!slot->is_free() || is_idle(*slot)) continue;
        all.push_back({slot->model->name, slot->model->sha256, slot->id, slot->steps, seconds(now_() - slot->created),
                       seconds(now_() - slot->used), slot->state});
    }
    return all;
}

void Sessions::restore(const Model &model, const SavedSession &saved)
{
    const std::lock_guard lock(mutex_);
    auto slot = insert(model, saved.id);
    slot->exists = true;
    slot->state = saved.state;
    slot->steps = saved.steps;
    slot->created = now_() - from_seconds(saved.age_seconds);
    slot->used = now_() - from_seconds(saved.idle_seconds);
}

Sessions::Turn::Turn(Sessions &sessions, std::shared_ptr<Slot> slot) : sessions_(&sessions), slot_(std::move(slot)) {}

Sessions::Turn::Turn(Turn &&other) noexcept : sessions_(other.sessions_), slot_(std::move(other.slot_)) {}

Sessions::Turn::~Turn()
{
    if (!slot_) return;
    const std::lock_guard lock(sessions_->mutex_);
    slot_->serving++;
    slot_->turn.notify_all();
    if (!slot_->exists && slot_->is_free()) sessions_->table_.erase(key_of(*slot_->model, slot_->id));
}

bool Sessions::Turn::exists() const
{
    return slot_->exists;
}

const std::string &Sessions::Turn::id() const
{
    return slot_->id;
}

uint64_t Sessions::Turn::steps() const
{
    return slot_->steps;
}

double Sessions::Turn::age_seconds() const
{
    return seconds(sessions_->now_() - slot_->created);
}

double Sessions::Turn::idle_seconds() const
{
    return seconds(sessions_->now_() - slot_->used);
}

const std::vector<float> &Sessions::Turn::state() const
{
    return slot_->state;
}

void Sessions::Turn::begin()
{
    slot_->model->net->initial_state(1, slot_->state.data());
    slot_->steps = 0;
    slot_->created = slot_->used = sessions_->now_();
    slot_->exists = true;
}

void Sessions::Turn::advance(const std::vector<float> &state, uint64_t steps)
{
    slot_->state = state; // of the same size: no allocation
    slot_->steps += steps;
    slot_->used = sessions_->now_();
}

void Sessions::Turn::end()
{
    slot_->exists = false;
}
