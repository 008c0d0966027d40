// The network: cpp-httplib's server, and of it replaced what waits for a connection's next request.
#pragma once

#include <httplib.h>

#include <atomic>
#include <string>

#include "service.hpp"

struct ServerOptions {
    std::size_t threads = 256; // connections served at a time: each holds a thread while it is open
    std::size_t max_body = 4 << 20;
    bool log = false;            // a line for each request
    int keep_alive_seconds = 60; // a connection without a request is closed; sooner where others wait for its thread
};

class Server : private httplib::Server {
public:
    Server(Service &service, ServerOptions options);
    ~Server() override;

    int bind(const std::string &host, int port); // gives the port, another one for 0; throws std::runtime_error
    void serve();                                // until finish(); comes back when the last request is answered
    void finish();                               // from another thread: closes what is idle, answers what is not
    std::size_t answered() const { return answered_; } // requests

private:
    bool process_and_close_socket(socket_t socket) override;
    bool wait_for_request(socket_t socket) const;
    void log(const httplib::Request &request, const httplib::Response &response) const;
    void receive(const httplib::Request &request, httplib::Response &response, const httplib::ContentReader *reader);

    Service &service_;
    const ServerOptions options_;
    const int finished_;                   // an eventfd, which wakes all who poll
    std::atomic<std::size_t> waiting_ = 0; // connections without a thread
    std::atomic<std::size_t> answered_ = 0;
};
