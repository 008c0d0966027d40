#include "service.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "openapi.hpp"
#include "problem.hpp"

using Json = nlohmann::ordered_json;

static const std::size_t ANSWER_TO_BODY = 4; // the largest answer's numbers, in bytes, to the largest body

const Service::Endpoint Service::endpoints[] = {
    {"GET", "/", &Service::page},
    {"GET", "/openapi.json", &Service::openapi},
    {"GET", "/v2", &Service::server},
    {"GET", "/v2/health/live", &Service::live},
    {"GET", "/v2/health/ready", &Service::ready},
    {"GET", "/metrics", &Service::metrics},
    {"GET", "/v2/models/*", &Service::model},
    {"GET", "/v2/models/*/ready", &Service::model_ready},
    {"POST", "/v2/models/*/infer", &Service::infer, true},
    {"POST", "/v2/models/*/sessions", &Service::make_session, true},
    {"GET", "/v2/models/*/sessions/**", &Service::show_session, true},
    {"DELETE", "/v2/models/*/sessions/**", &Service::end_session, true},
};

Service::Service(const std::vector<Model> &models, Sessions &sessions, Metrics &metrics, std::size_t max_body)
    : models_(models),
      sessions_(sessions),
      metrics_(metrics),
      max_body_(max_body),
      api_(describe_api(models)),
      places_(2 * std::max(1u, std::thread::hardware_concurrency()))
{
}

Reply Service::answer(const Request &request) noexcept
try {
    Call call{request};
    Reply reply;
    try {
        reply = dispatch(call);
    } catch (const Problem &problem) {
        reply = error_reply(problem.status, problem.what());
    } catch (const std::bad_alloc &) {
        reply = error_reply(503, "expected memory for the request, got none; try again later");
    }
    metrics_.count_request(call.model ? call.model->name : "", reply.status);
    reply.sequence_id = std::move(call.sequence_id);
    return reply;
} catch (const std::exception &error) {
    std::cerr << "error: " << request.method << ' ' << request.path << ": " << error.what() << '\n';
    return error_reply(500, "expected an answer, got an error of the service, which its log has");
}

// Split a path's first part off: "/a/b" is "a", and "/b" is left.
static std::string_view take_part(std::string_view &path)
{
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(end);
    return part.substr(std::min<std::size_t>(1, part.size()));
}

// Tell if a path is one of a pattern; give what stands for * and **.
static bool matches(std::string_view pattern, std::string_view path, std::string_view &name, std::string_view &rest)
{
    while (!pattern.empty()) {
        const std::string_view expected = take_part(pattern);
        if (expected == "**") {
            rest = path.substr(std::min<std::size_t>(1, path.size()));
            return !rest.empty();
        }
        const std::string_view part = take_part(path);
        if (expected == "*") {
            name = part;
            if (path.starts_with("/versions/1") && (path.size() == 11 || path[11] == '/')) path.remove_prefix(11);
        } else if (part != expected) {
            return false;
        }
    }
    return path.empty();
}

Reply Service::dispatch(Call &call)
{
    const Request &request = call.request;
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    std::string_view name;
    std::string allowed;
    for (const Endpoint &endpoint : endpoints) {
        if (!matches(endpoint.path, request.path, name, call.rest)) continue;
        if (!call.rest.empty()) call.sequence_id = call.rest;
        allowed += (allowed.empty() ? "" : ", ") + std::string(endpoint.method);
        if (endpoint.method != method) continue;
        if (request.body_too_large)
            throw Problem(413, text("expected a body of at most ", max_body_, " bytes, got more"));
        if (endpoint.works && stopping_)
            throw Problem(503, "expected a service that runs, got one that is stopping; try again");
        const auto model =
            std::find_if(models_.begin(), models_.end(), [&](const Model &one) { return one.name == name; });
        if (model != models_.end()) call.model = &*model;
        if (!call.model && endpoint.path.find('*') != endpoint.path.npos)
            throw Problem(404, text("expected a model of this service, got ", name, "; GET /v2 lists them"));
        return (this->*endpoint.answer)(call);
    }
    if (allowed.empty())
        throw Problem(404, text("expected a path of this service, got ", request.path, "; GET /v2 tells which"));
    Reply reply = error_reply(405, text("expected ", allowed, " for ", request.path, ", got ", request.method));
    reply.allow = allowed;
    return reply;
}

Reply Service::server(Call &)
{
    auto names = Json::array(), paths = Json::array();
    for (const Model &model : models_) names.push_back(model.name);
    for (const Endpoint &endpoint : endpoints) paths.push_back(text(endpoint.method, ' ', endpoint.path));
    return json_reply(200, {{"name", SERVICE_NAME},
                            {"version", "1"},
                            {"extensions", {"binary_tensor_data", "sequence", "sequence(string_id)"}},
                            {"models", names},
                            {"paths", paths}});
}

Reply Service::page(Call &)
{
    return {.body = page_text, .content_type = "text/html; charset=utf-8"};
}

Reply Service::openapi(Call &)
{
    return {.body = api_};
}

Reply Service::live(Call &)
{
    return json_reply(200, {{"live", true}});
}

Reply Service::ready(Call &)
{
    return json_reply(stopping_ ? 503 : 200, {{"ready", !stopping_}});
}

Reply Service::metrics(Call &)
{
    for (const Model &model : models_) metrics_.set_sessions(model.name, static_cast<double>(sessions_.count(model)));
    return {.body = metrics_.text(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

Reply Service::model(Call &call)
{
    return json_reply(200, describe(*call.model));
}

Reply Service::model_ready(Call &call)
{
    return json_reply(stopping_ ? 503 : 200, {{"name", call.model->name}, {"ready", !stopping_}});
}

static Json describe_session(const Model &model, const Sessions::Turn &turn)
{
    return {{"sequence_id", turn.id()}, {"model", model.name}, {"steps", turn.steps()}};
}

Reply Service::make_session(Call &call)
{
    const auto turn = sessions_.make(*call.model);
    call.sequence_id = turn.id();
    return json_reply(201, describe_session(*call.model, turn));
}

Reply Service::show_session(Call &call)
{
    const auto turn = sessions_.find(*call.model, std::string(call.rest));
    auto json = describe_session(*call.model, turn);
    json["age_seconds"] = turn.age_seconds();
    json["idle_seconds"] = turn.idle_seconds();
    return json_reply(200, json);
}

Reply Service::end_session(Call &call)
{
    sessions_.find(*call.model, std::string(call.rest)).end();
    return {.status = 204};
}

// Run a model from a state, or from the initial one.
void Service::run(const Model &model, const InferRequest &request, const float *state, InferResult &result)
{
    std::vector<RecurrentInput> inputs;
    std::vector<RecurrentOutput> outputs;
    for (std::size_t at = 0; at < model.inputs.size(); at++)
        inputs.push_back({request.inputs[at].data(), model.inputs[at].count(request.steps, request.batch),
                          model.net->inputs[at].type});
    for (std::size_t at = 0; at < model.outputs.size(); at++) {
        const std::size_t count = model.outputs[at].count(request.steps, request.batch);
        auto &room = result.outputs.emplace_back(count * model.outputs[at].width_in_c());
        outputs.push_back({room.data(), count, model.net->outputs[at].type});
    }
    result.state.resize(model.net->state_size * request.batch);
    if (!state) model.net->initial_state(request.batch, result.state.data());
    model.net->run(request.steps, request.batch, inputs.data(), state ? state : result.state.data(), outputs.data(),
                   result.state.data());
    metrics_.count_steps(model.name, static_cast<double>(request.steps * request.batch));
}

// A session goes on only once its answer is written: whatever is refused leaves it as it was.
Reply Service::infer_in_session(const Model &model, const InferRequest &request)
{
    const Sequence &sequence = *request.sequence;
    auto turn = sequence.start ? sessions_.find_or_make(model, sequence.id) : sessions_.find(model, sequence.id);
    InferResult result;
    run(model, request, sequence.start ? nullptr : turn.state().data(), result);
    result.session_steps = (sequence.start ? 0 : turn.steps()) + request.steps;
    check_answer(request, result);
    Reply reply = write_answer(model, request, result);
    if (sequence.start) turn.begin();
    turn.advance(result.state, request.steps);
    if (sequence.end) turn.end();
    return reply;
}

Reply Service::infer(Call &call)
{
    const auto begin = Clock::now();
    const Places::Held place(places_); // taken before any session's turn: whoever has a turn can go on
    const Model &model = *call.model;
    const auto request = parse_infer(model, call.request.body, call.request.json_length, ANSWER_TO_BODY * max_body_);
    Reply reply;
    if (request.sequence) {
        call.sequence_id = request.sequence->id;
        reply = infer_in_session(model, request);
    } else {
        InferResult result;
        run(model, request, request.state.empty() ? nullptr : request.state.data(), result);
        check_answer(request, result);
        reply = write_answer(model, request, result);
    }
    metrics_.observe_seconds(std::chrono::duration<double>(Clock::now() - begin).count());
    return reply;
}
