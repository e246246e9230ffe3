package engine

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// discards passes on what a Tempo that we run counts as discarded: it answers that
// all is well and drops the spans of a trace that is too large, or of one trace too
// many (docs/engines.md). The counts begin anew with the child's life.
type discards struct{ engine *Embedded }

// discardedSpans is Tempo's own counter, with the labels reason and tenant
// (modules/overrides/discarded_spans.go).
const discardedSpans = "tempo_discarded_spans_total"

var discardedItems = prometheus.NewDesc("invoscope_engine_discarded_items_total",
	"Spans that Tempo did not keep, by its own account: those it acknowledged, and with the reason rate_limited those it will be sent again.",
	[]string{"tenant", "reason"}, nil)

// scrapeTimeout bounds one look at the child's metrics.
const scrapeTimeout = 2 * time.Second

// Describe implements [prometheus.Collector].
func (d discards) Describe(out chan<- *prometheus.Desc) { out <- discardedItems }

// Collect implements [prometheus.Collector]. A child that can't be asked has no
// counts: [discards] says nothing then.
func (d discards) Collect(out chan<- prometheus.Metric) {
	if !d.engine.current.Load().ready {
		return
	}
	family, err := d.scrape()
	if err != nil {
		d.engine.log.Debug("the engine's count of discarded spans can't be had", "err", err)
		return
	}
	for _, m := range family.GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		out <- prometheus.MustNewConstMetric(discardedItems, prometheus.CounterValue, m.GetCounter().GetValue(), labels["tenant"], labels["reason"])
	}
}

func (d discards) scrape() (*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	resp, err := d.engine.client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", d.engine.kind.name, err)
	}
	return families[discardedSpans], nil
}
