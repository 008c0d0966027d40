#include "metrics.hpp"

#include <prometheus/text_serializer.h>

using prometheus::BuildCounter;

static const prometheus::Histogram::BucketBoundaries SECONDS{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                             0.05,   0.1,     0.25,   0.5,   1,      2.5,   5};

Metrics::Metrics(const std::vector<Model> &models)
    : requests_(BuildCounter().Name("rnn_requests_total").Help("Requests answered.").Register(registry_)),
      steps_(BuildCounter().Name("rnn_steps_total").Help("Time steps computed, of all rows.").Register(registry_)),
      expired_(
          BuildCounter().Name("rnn_sessions_expired_total").Help("Sessions idle for too long.").Register(registry_)),
      sessions_(prometheus::BuildGauge().Name("rnn_sessions").Help("Sessions there are.").Register(registry_)),
      rejected_(BuildCounter()
                    .Name("rnn_sessions_rejected_total")
                    .Help("Sessions refused because there were too many.")
                    .Register(registry_)
                    .Add({})),
      seconds_(prometheus::BuildHistogram()
                   .Name("rnn_request_seconds")
                   .Help("Time from the body of an infer request that is right to its answer, waiting for the session "
                         "included.")
                   .Register(registry_)
                   .Add({}, SECONDS))
{
    for (const Model &model : models) { // from 0 on, as rates want it
        steps_.Add({{"model", model.name}});
        expired_.Add({{"model", model.name}});
    }
}

void Metrics::count_request(const std::string &model, int code)
{
    requests_.Add({{"model", model}, {"code", std::to_string(code)}}).Increment();
}

std::string Metrics::text() const
{
    return prometheus::TextSerializer().Serialize(registry_.Collect());
}
