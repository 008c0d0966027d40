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

inline constexpr char SERVICE_NAME[] = "rnn_export service";

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
        std::optional<std::string> sequence_id{};
    };
    struct Endpoint {
        std::string_view method, path; // "*" stands for a model's name, a last "**" for all that follows
        Reply (Service::*answer)(Call &);
        bool works = false; // not while stopping
    };
    static const Endpoint endpoints[];

    Reply dispatch(Call &call);
    Reply page(Call &), openapi(Call &), live(Call &), ready(Call &), server(Call &), metrics(Call &);
    Reply model(Call &), model_ready(Call &), infer(Call &);
    Reply make_session(Call &), show_session(Call &), end_session(Call &);
    Reply infer_in_session(const Model &model, const InferRequest &request);
    void run(const Model &model, const InferRequest &request, const float *state, InferResult &result);

    const std::vector<Model> &models_;
    Sessions &sessions_;
    Metrics &metrics_;
    const std::size_t max_body_;
    const std::string api_; // openapi.json
    Places places_; // a request being worked on takes memory for its JSON
    std::atomic<bool> stopping_ = false;
};
