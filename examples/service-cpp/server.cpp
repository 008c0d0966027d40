#include "server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "log.hpp"
#include "problem.hpp"

static const std::size_t MAX_LINES = 256 << 10; // bytes of headers, and of the lines between a body's chunks
static const std::size_t TOGETHER = 16 << 10;   // bytes of an answer that leave at once, head and body
static const int SOCKET_SECONDS = 10;           // for a request to come in, or an answer to be taken, bit by bit
static const int POLITE_MILLISECONDS = 1000;    // that an idle or slow connection keeps its thread while others wait
static const int BACKLOG = 1024;                // connections that the system holds before they are accepted

// A connection. Unlike httplib's own it keeps what was read ahead from one request to the next, bounds the headers and
// sends an answer's head and body together. The server sets the socket's time limits.
class Connection : public httplib::Stream {
public:
    Connection(socket_t socket, const std::atomic<std::size_t> &waiting) : socket_(socket), waiting_(waiting) {}

    bool has_read_ahead() const { return begin_ < end_; }

    void begin_request()
    {
        lines_ = 0;
        begun_ = Clock::now();
    }

    ssize_t read(char *bytes, std::size_t size) override
    {
        if (size == 1 && ++lines_ > MAX_LINES) return -1; // httplib reads lines byte by byte, of any length
        if (begin_ == end_) {
            if (!flush() || !wait()) return -1;
            const ssize_t got = retry([&] { return recv(socket_, buffer_.data(), buffer_.size(), 0); });
            if (got <= 0) return got;
            begin_ = 0;
            end_ = static_cast<std::size_t>(got);
        }
        size = std::min(size, end_ - begin_);
        std::memcpy(bytes, buffer_.data() + begin_, size);
        begin_ += size;
        return static_cast<ssize_t>(size);
    }

    ssize_t write(const char *bytes, std::size_t size) override
    {
        if (unsent_.size() + size <= TOGETHER)
            unsent_.append(bytes, size);
        else if (!flush() || !send_all({bytes, size}))
            return -1;
        return static_cast<ssize_t>(size);
    }

    bool flush()
    {
        const bool sent = send_all(unsent_);
        unsent_.clear();
        return sent;
    }

    bool is_readable() const override { return true; } // reading waits
    bool is_writable() const override { return true; }
    void get_remote_ip_and_port(std::string &, int &) const override {} // asked for each request, and not needed
    void get_local_ip_and_port(std::string &, int &) const override {}
    socket_t socket() const override { return socket_; }

private:
    template <typename Call>
    static ssize_t retry(Call call)
    {
        ssize_t result;
        do result = call();
        while (result < 0 && errno == EINTR);
        return result;
    }

    // Wait for more of a request: a slow one keeps its thread only as long as no other connection waits for it.
    bool wait() const
    {
        for (int waited = 0; waited < 1000 * SOCKET_SECONDS; waited += POLITE_MILLISECONDS) {
            if (waiting_ > 0 && Clock::now() - begun_ > std::chrono::seconds(SOCKET_SECONDS)) return false;
            pollfd polled{socket_, POLLIN, 0};
            if (retry([&] { return poll(&polled, 1, POLITE_MILLISECONDS); }) != 0) return true;
            if (waiting_ > 0) return false;
        }
        return false;
    }

    bool send_all(std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const ssize_t sent = retry([&] { return send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
            if (sent < 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    const socket_t socket_;
    const std::atomic<std::size_t> &waiting_; // connections without a thread
    Clock::time_point begun_;
    std::array<char, 8192> buffer_;
    std::size_t begin_ = 0, end_ = 0, lines_ = 0;
    std::string unsent_;
};

// httplib's threads, and a count of the connections that have none.
class Pool : public httplib::ThreadPool {
public:
    Pool(std::size_t threads, std::atomic<std::size_t> &waiting) : ThreadPool(threads), waiting_(waiting) {}

    void enqueue(std::function<void()> job) override
    {
        waiting_++;
        ThreadPool::enqueue([this, job = std::move(job)] {
            waiting_--;
            job();
        });
    }

private:
    std::atomic<std::size_t> &waiting_;
};

// The request that this thread answers, beside what httplib has of it.
struct Current {
    Clock::time_point begun{};
    std::size_t bytes_in = 0; // of its body
    std::optional<std::string> sequence_id{};
    bool is_lost = false; // what follows on the connection may be the rest of a body, and no request
};
static thread_local Current current;

// Answer what httplib itself did not take: a request line, headers or a body.
static void refuse(httplib::Response &response)
{
    const std::string message =
        text("expected a request of HTTP/1.1 with the whole of its body, got one for status ", response.status);
    response.set_content(error_reply(response.status, message).body, "application/json");
    response.set_header("Connection", "close");
    current.is_lost = true;
}

Server::Server(Service &service, ServerOptions options)
    : service_(service),
      options_(options),
      finished_(eventfd(0, EFD_CLOEXEC))
{
    if (finished_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    new_task_queue = [this] { return new Pool(options_.threads, waiting_); };
    set_socket_options(
        [](socket_t socket) { // not httplib's SO_REUSEPORT: a second service would take half of the requests
            const int yes = 1;
            setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        });
    set_tcp_nodelay(true);
    set_payload_max_length(options_.max_body);
    set_read_timeout(SOCKET_SECONDS);
    set_write_timeout(SOCKET_SECONDS);
    set_keep_alive_timeout(options_.keep_alive_seconds); // both are told to clients
    set_keep_alive_max_count(1'000'000);

    // One handler for everything, which knows paths, methods and how to read a body that httplib would not bound.
    const auto bodyless = [this](const auto &request, auto &response) { receive(request, response, nullptr); };
    const auto with_body = [this](const auto &request, auto &response, const auto &reader) {
        receive(request, response, &reader);
    };
    Get(".*", bodyless).Options(".*", bodyless);
    Post(".*", HandlerWithContentReader(with_body)).Put(".*", HandlerWithContentReader(with_body));
    Patch(".*", HandlerWithContentReader(with_body)).Delete(".*", HandlerWithContentReader(with_body));
    set_error_handler([](const httplib::Request &, httplib::Response &response) {
        if (response.body.empty()) refuse(response);
    });
    set_logger([this](const httplib::Request &request, const httplib::Response &response) {
        answered_++;
        if (options_.log) log(request, response);
    });
}

// Tell of a request, but nothing of what it holds.
void Server::log(const httplib::Request &request, const httplib::Response &response) const
{
    const std::chrono::duration<double, std::milli> taken = Clock::now() - current.begun;
    nlohmann::ordered_json fields{{"method", request.method},
                                  {"path", request.target.substr(0, request.target.find('?'))},
                                  {"status", response.status},
                                  {"milliseconds", std::round(taken.count() * 1000) / 1000},
                                  {"bytes_in", current.bytes_in},
                                  {"bytes_out", request.method == "HEAD" ? 0 : response.body.size()}};
    if (current.sequence_id) fields["sequence_id"] = *current.sequence_id;
    write_log("request", fields);
}

Server::~Server()
{
    close(finished_);
}

int Server::bind(const std::string &host, int port)
{
    const int bound = port ? (bind_to_port(host, port) ? port : -1) : bind_to_any_port(host);
    if (bound < 0) throw std::runtime_error(text("expected a host and port that are free, got ", host, " and ", port));
    ::listen(svr_sock_, BACKLOG); // again: httplib's 5 is too short for clients that all come back after a restart
    return bound;
}

void Server::serve()
{
    listen_after_bind();
}

void Server::finish()
{
    const uint64_t one = 1;
    if (write(finished_, &one, sizeof one) < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    while (!is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1)); // or it would miss the call
    stop();
}

// Wait until a connection has something to read; false: close it.
bool Server::wait_for_request(socket_t socket) const
{
    std::array<pollfd, 2> polled{{{socket, POLLIN, 0}, {finished_, POLLIN, 0}}};
    for (int waited = 0; waited < 1000 * options_.keep_alive_seconds; waited += POLITE_MILLISECONDS) {
        const int ready = poll(polled.data(), polled.size(), POLITE_MILLISECONDS);
        if (polled[1].revents || (ready < 0 && errno != EINTR)) return false;
        if (polled[0].revents) return true;
        if (waiting_ > 0) return false;
    }
    return false;
}

// Forget that a part of the answer is asked for: httplib would cut it, or refuse it once the step has run.
static void whole(httplib::Request &request)
{
    request.ranges.clear();
}

bool Server::process_and_close_socket(socket_t socket)
{
    Connection connection(socket, waiting_);
    bool open = true;
    while (open && (connection.has_read_ahead() || wait_for_request(socket))) {
        bool closed = false;
        connection.begin_request();
        current = {.begun = Clock::now()};
        const bool answered = process_request(connection, service_.is_stopping(), closed, whole);
        open = connection.flush() && answered && !closed && !current.is_lost && !service_.is_stopping();
    }
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return open;
}

// Read a body, or its end if it is too long: the next request begins behind it.
static void read_body(const httplib::Request &received, const httplib::ContentReader &reader, std::size_t limit,
                      Request &request)
{
    const auto keep = [&](const char *bytes, std::size_t size) {
        request.body_too_large |= request.body.size() + size > limit;
        request.body_too_large ? request.body.clear() : void(request.body.append(bytes, size));
        return true;
    };
    if (!received.has_header("Content-Length") && !received.has_header("Transfer-Encoding"))
        return; // none: RFC 9112, 6.3
    if (received.is_multipart_form_data())
        reader([](const httplib::MultipartFormData &) { return true; }, keep);
    else
        reader(keep);
}

void Server::receive(const httplib::Request &received, httplib::Response &response,
                     const httplib::ContentReader *reader)
{
    static const char json_length[] = "Inference-Header-Content-Length";
    Request request{received.method, received.path, {}, {}};
    if (received.has_header(json_length)) request.json_length = received.get_header_value(json_length);
    if (reader) read_body(received, *reader, options_.max_body, request);
    if (response.status == 413)
        request.body_too_large = true; // by its Content-Length
    else if (response.status >= 400)
        return; // the error handler goes on
    current.bytes_in = request.body.size();
    Reply reply = service_.answer(request);
    current.sequence_id = std::move(reply.sequence_id);
    response.status = reply.status;
    if (!reply.allow.empty()) response.set_header("Allow", reply.allow);
    if (reply.json_length) response.set_header(json_length, std::to_string(*reply.json_length));
    response.body = std::move(reply.body);
    if (!response.body.empty()) response.set_header("Content-Type", reply.content_type);
}
