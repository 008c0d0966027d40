#include "log.hpp"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>

using Json = nlohmann::ordered_json;

// The time of day in UTC, as RFC 3339 has it.
static std::string now()
{
    using namespace std::chrono;
    const auto time = floor<milliseconds>(system_clock::now());
    const std::time_t seconds = system_clock::to_time_t(time);
    std::tm parts;
    gmtime_r(&seconds, &parts);
    char day[32], text[40];
    std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text, sizeof text, "%s.%03dZ", day, static_cast<int>(time.time_since_epoch().count() % 1000));
    return text;
}

void write_log(const char *event, const Json &fields)
{
    Json line{{"level", "info"}, {"time", now()}, {"event", event}};
    line.update(fields);
    std::cerr << line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; // at once: threads share it
}
