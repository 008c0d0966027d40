// What is wrong with a request, and the HTTP status that says so.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

struct Problem : std::runtime_error {
    Problem(int status, const std::string &message) : std::runtime_error(message), status(status) {}
    int status;
};

// Write values one after another: text("got ", 3).
template <typename... Values>
std::string text(const Values &...values)
{
    std::ostringstream stream;
    (stream << ... << values);
    return stream.str();
}
