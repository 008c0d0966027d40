// What Prometheus reads from /metrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>
#include <vector>

#include "model.hpp"

class Metrics {
public:
    explicit Metrics(const std::vector<Model> &models);

    // Count a request; the model is "" where it is about none, so that names from outside make no new series.
    void count_request(const std::string &model, int code);
    void observe_seconds(double seconds) { seconds_.Observe(seconds); }
    void count_steps(const std::string &model, double steps) { steps_.Add({{"model", model}}).Increment(steps); }
    void set_sessions(const std::string &model, double count) { sessions_.Add({{"model", model}}).Set(count); }
    void count_expired(const std::string &model) { expired_.Add({{"model", model}}).Increment(); }
    void count_rejected() { rejected_.Increment(); }

    std::string text() const;

private:
    prometheus::Registry registry_; // locks for itself; so do its families
    prometheus::Family<prometheus::Counter> &requests_, &steps_, &expired_;
    prometheus::Family<prometheus::Gauge> &sessions_;
    prometheus::Counter &rejected_;
    prometheus::Histogram &seconds_;
};
