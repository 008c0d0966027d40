// The program: options, the start, and the graceful stop.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <stop_token>
#include <system_error>
#include <thread>

#include "log.hpp"
#include "metrics.hpp"
#include "model.hpp"
#include "problem.hpp"
#include "save.hpp"
#include "server.hpp"
#include "service.hpp"
#include "sessions.hpp"

struct Options {
    std::string host = "127.0.0.1", models = "models", save;
    int port = 8000;
    double idle_seconds = 600;
    SessionLimits sessions;
    ServerOptions server;
};

// Read the command line; exits where that is all there is to do.
static Options parse_options(int count, char **arguments)
{
    Options options;
    CLI::App app("Serve recurrent nets over the Open Inference Protocol v2, whole sequences and sessions.");
    app.add_option("--host", options.host, "The address to listen at")->capture_default_str();
    app.add_option("--port", options.port, "The port; 0: any free one")
        ->capture_default_str()
        ->check(CLI::Range(0, 65535));
    app.add_option("--models", options.models, "The folder of the bundles")->capture_default_str();
    app.add_option("--max-sessions", options.sessions.sessions, "More are refused")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 30));
    app.add_option("--idle-seconds", options.idle_seconds, "Then a session expires")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1e9));
    app.add_option("--max-body", options.server.max_body, "Bytes of a request")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--save", options.save, "Keep sessions in this file from a graceful stop to the next start");
    app.add_option("--threads", options.server.threads, "Connections served at a time")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    app.add_option("--keep-alive-seconds", options.server.keep_alive_seconds, "Then an idle connection is closed")
        ->capture_default_str()
        ->check(CLI::Range(1, 86400));
    app.add_flag("--log", options.server.log, "Write a line of JSON to stderr for each request");
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError &error) {
        if (error.get_exit_code() == 0) std::exit(app.exit(error)); // --help
        std::cerr << "error: " << error.what() << "; --help lists the options\n";
        std::exit(2);
    }
    options.sessions.idle = std::chrono::duration<double>(options.idle_seconds);
    return options;
}

// Signals are waited for by one thread; all others, which inherit the mask, never see them.
static sigset_t block_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

static void expire_now_and_then(const std::stop_token &stop, Sessions &sessions)
{
    while (!stop.stop_requested()) {
        sessions.expire();
        for (int i = 0; i < 10 && !stop.stop_requested(); i++)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

static void restore(const Options &options, Sessions &sessions, const std::vector<Model> &models)
{
    if (options.save.empty()) return;
    const auto folder = std::filesystem::absolute(options.save).parent_path();
    if (access(folder.c_str(), W_OK))
        throw std::system_error(errno, std::generic_category(), "expected to write " + folder.string());
    const Restored count = restore_sessions(sessions, models, options.save);
    if (count.changed)
        std::cerr << "warning: " << count.changed << " sessions of " << options.save
                  << " not restored: their model changed\n";
    if (count.refused)
        std::cerr << "warning: " << count.refused << " sessions of " << options.save
                  << " not restored: more than --max-sessions\n";
    std::filesystem::remove(options.save); // after a crash, states of long ago would go on as if nothing were
}

static void log_start(const std::string &address, const std::vector<Model> &models)
{
    auto served = nlohmann::ordered_json::array();
    for (const Model &model : models)
        served.push_back({{"name", model.name}, {"version", "1"}, {"sha256", model.sha256}});
    write_log("start", {{"service", SERVICE_NAME}, {"address", address}, {"models", served}});
}

static void run(const Options &options)
{
    sigset_t signals = block_signals();
    const auto models = load_models(options.models);
    Metrics metrics(models);
    Sessions sessions(options.sessions, {[&](const Model &model) { metrics.count_expired(model.name); },
                                         [&] { metrics.count_rejected(); }});
    Service service(models, sessions, metrics, options.server.max_body);
    Server server(service, options.server);
    const int port = server.bind(options.host, options.port);
    restore(options, sessions, models);

    const std::jthread sweeper([&](const std::stop_token &stop) { expire_now_and_then(stop, sessions); });
    std::jthread listener([&] { server.serve(); });
    const std::string address = text("http://", options.host, ':', port);
    log_start(address, models);
    std::cout << "listening on " << address << std::endl;
    int signal = 0;
    sigwait(&signals, &signal);
    service.stop();
    server.finish();
    listener.join();
    if (!options.save.empty()) save_sessions(sessions, options.save);
    write_log("stop", {{"reason", signal == SIGTERM ? "SIGTERM" : "SIGINT"}, {"requests", server.answered()}});
}

int main(int count, char **arguments)
try {
    run(parse_options(count, arguments));
} catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
}
