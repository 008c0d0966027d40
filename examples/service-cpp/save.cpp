#include "save.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "problem.hpp"

using Json = nlohmann::json;
using Bytes = std::vector<uint8_t>;

static const char FORMAT[] = "rnn sessions 1";
static const int DEPTH = 4; // a map, its list, a session in it, and what that holds

// A file is CBOR, and behind it the FNV-1a hash of it: a state with a flipped bit would go on as if nothing were.
static Bytes hash_of(const uint8_t *begin, const uint8_t *end)
{
    uint64_t hash = 0xCBF29CE484222325;
    for (; begin != end; begin++) hash = (hash ^ *begin) * 0x100000001B3;
    Bytes bytes(sizeof hash);
    std::memcpy(bytes.data(), &hash, sizeof hash);
    return bytes;
}

static Json to_json(const SavedSession &session)
{
    const auto *begin = reinterpret_cast<const uint8_t *>(session.state.data());
    return {{"model", session.model},
            {"sha256", session.sha256},
            {"id", session.id},
            {"steps", session.steps},
            {"age_seconds", session.age_seconds},
            {"idle_seconds", session.idle_seconds},
            {"state", Json::binary(Bytes(begin, begin + session.state.size() * sizeof(float)))}};
}

static SavedSession from_json(const Json &json)
{
    SavedSession session{json.at("model"),
                         json.at("sha256"),
                         json.at("id"),
                         json.at("steps"),
                         json.at("age_seconds"),
                         json.at("idle_seconds"),
                         {}};
    const auto &bytes = json.at("state").get_binary();
    session.state.resize(bytes.size() / sizeof(float));
    std::memcpy(session.state.data(), bytes.data(), session.state.size() * sizeof(float));
    return session;
}

[[noreturn]] static void fail(const std::filesystem::path &file)
{
    throw std::system_error(errno, std::generic_category(), text("expected to write ", file));
}

static void write_all(int descriptor, const Bytes &bytes, const std::filesystem::path &file)
{
    for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t written = write(descriptor, bytes.data() + at, bytes.size() - at);
        if (written < 0 && errno != EINTR) fail(file);
        at += static_cast<std::size_t>(std::max<ssize_t>(written, 0));
    }
    if (fsync(descriptor)) fail(file); // or a power cut leaves the new name with no data
}

void save_sessions(const Sessions &sessions, const std::filesystem::path &file)
{
    auto list = Json::array();
    for (const SavedSession &session : sessions.save()) list.push_back(to_json(session));
    Bytes bytes = Json::to_cbor({{"format", FORMAT}, {"sessions", std::move(list)}});
    const Bytes hash = hash_of(bytes.data(), bytes.data() + bytes.size());
    bytes.insert(bytes.end(), hash.begin(), hash.end());

    const std::filesystem::path temporary = file.string() + ".new";
    const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) fail(temporary);
    try {
        write_all(descriptor, bytes, temporary);
    } catch (...) {
        close(descriptor);
        throw;
    }
    close(descriptor);
    std::filesystem::rename(temporary, file);
}

static void expect(bool right)
{
    if (!right) throw std::out_of_range("data of another form");
}

// Give where an item of CBOR ends, which holds no deeper ones than save_sessions() writes: for each level of what it
// reads the parser takes room on the stack, which ends the program once there is no more.
static std::size_t item_end(const uint8_t *bytes, std::size_t at, std::size_t size, int depth)
{
    expect(depth > 0 && at < size);
    const int major = bytes[at] >> 5, info = bytes[at] & 31;
    uint64_t count = static_cast<uint64_t>(info);
    at++;
    if (info >= 24) {
        const std::size_t width = std::size_t{1} << (info - 24);
        expect(info <= 27 && width <= size - at); // no unknown length either
        count = 0;
        for (const std::size_t end = at + width; at < end; at++) count = count << 8 | bytes[at];
    }
    expect(major != 6);                                // a tag
    if (major < 2 || major == 7) return at;            // a number
    expect(count <= size - at);                        // each byte or item takes one at least
    if (major < 4) return at + static_cast<std::size_t>(count); // bytes or text
    for (uint64_t left = major == 4 ? count : 2 * count; left; left--) at = item_end(bytes, at, size, depth - 1);
    return at;
}

static Json read_file(const std::filesystem::path &file)
{
    std::ifstream stream(file, std::ios::binary);
    if (!stream) fail(file);
    const Bytes bytes{std::istreambuf_iterator<char>(stream), {}};
    const std::size_t size = bytes.size() - std::min(bytes.size(), sizeof(uint64_t));
    const Bytes hash(bytes.begin() + static_cast<std::ptrdiff_t>(size), bytes.end());
    if (hash_of(bytes.data(), bytes.data() + size) != hash)
        throw std::runtime_error(
            text("expected saved sessions in ", file, ", got a damaged file; delete it to start without"));
    item_end(bytes.data(), 0, size, DEPTH);
    Json json = Json::from_cbor(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    if (json.at("format") != FORMAT)
        throw std::runtime_error(
            text("expected saved sessions of this version in ", file, ", got others; delete it to start without"));
    return json;
}

static const Model *find_same(const std::vector<Model> &models, const SavedSession &session)
{
    const auto found = std::find_if(models.begin(), models.end(), [&](const Model &model) {
        return model.name == session.model && model.sha256 == session.sha256 &&
               model.net->state_size == session.state.size();
    });
    return found == models.end() ? nullptr : &*found;
}

// Put a session back; false: the table is full.
static bool put_back(Sessions &sessions, const Model &model, const SavedSession &session)
try {
    sessions.restore(model, session);
    return true;
} catch (const Problem &) {
    return false;
}

[[noreturn]] static void refuse(const std::filesystem::path &file, const std::exception &error)
{
    throw std::runtime_error(
        text("expected saved sessions in ", file, ", got: ", error.what(), "; delete it to start without"));
}

Restored restore_sessions(Sessions &sessions, const std::vector<Model> &models, const std::filesystem::path &file)
try {
    Restored count;
    if (!std::filesystem::exists(file)) return count;
    const Json saved = read_file(file);
    for (const Json &json : saved.at("sessions")) {
        const SavedSession session = from_json(json);
        const Model *model = find_same(models, session);
        (!model ? count.changed : put_back(sessions, *model, session) ? count.sessions : count.refused)++;
    }
    return count;
} catch (const std::out_of_range &error) {
    refuse(file, error);
} catch (const Json::exception &error) {
    refuse(file, error);
}
