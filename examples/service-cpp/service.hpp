// What the service answers to which request; no network here.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics.hpp"
#include "model.hpp"
#include "places.hpp"
#include "protocol.hpp"
#include "sessions.hpp"

struct Request {
    std::string method, path;
    std::optional<std::string> json_length; // Inference-Header-Content-Length
    std::string body;
    bool body_too_large = false; // more than the limit: the body was not kept
};

class Service {
public:
    Service(const std::vector<Model> &models, Sessions &sessions, Metrics &metrics, std::size_t max_body);

    // Answer a request; any number of threads may. Throws nothing.
    Reply answer(const Request &request) noexcept;

    void stop() { stopping_ = true; } // from now on, ready and new work are a 503
    bool is_stopping() const { return stopping_; }

private:
    // A request on its way to the endpoint that answers it.
    struct Call {
        const Request &request;
        const Model *model = nullptr;
        std::string_view rest{}; // of the path: a session's id
    };
    struct Endpoint {
        std::string_view method, path; // "*" stands for a model's name, a last "**" for all that follows
        Reply (Service::*answer)(const Call &);
        bool works = false; // not while stopping
    };
    static const Endpoint endpoints[];

    Reply dispatch(Call &call);
    Reply live(const Call &), ready(const Call &), server(const Call &), metrics(const Call &);
    Reply model(const Call &), model_ready(const Call &), infer(const Call &);
    Reply make_session(const Call &), show_session(const Call &), end_session(const Call &);
    Reply infer_in_session(const Model &model, const InferRequest &request);
    void run(const Model &model, const InferRequest &request, const float *state, InferResult &result);

    const std::vector<Model> &models_;
    Sessions &sessions_;
    Metrics &metrics_;
    const std::size_t max_body_;
    Places places_; // a request being worked on takes memory for its JSON
    std::atomic<bool> stopping_ = false;
};
