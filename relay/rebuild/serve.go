package rebuild

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/relay/fault"
)

// Server answers requests to rebuild the index, one at a time.
type Server struct {
	opts    Options
	running chan struct{} // holds one element while a rebuild runs
}

// NewServer returns a server.
func NewServer(o Options) *Server { return &Server{opts: o, running: make(chan struct{}, 1)} }

// failed is the last line of an answer that could not be finished.
type failed struct {
	Progress
	Error string `json:"error"`
}

// Rebuild rebuilds a tenant's index from the traces of the last while, which the
// parameter since says, such as 36h or 14d. It answers a line of JSON for each hour:
// a [Progress]. An error means that nothing has been written.
func (s *Server) Rebuild(w http.ResponseWriter, r *http.Request, tenant string) error {
	since, err := model.ParseDuration(r.URL.Query().Get("since"))
	if err != nil || since == 0 {
		return fault.New(fault.Invalid, "since must say from when on the traces are read, such as 36h or 14d")
	}
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	default:
		return &fault.Error{Kind: fault.Unavailable, Message: "the index is being rebuilt already", RetryAfter: time.Minute}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	to := s.opts.Now()
	var last Progress
	err = Rebuild(r.Context(), s.opts, Range{tenant, to.Add(-time.Duration(since)), to}, func(p Progress) error {
		last = p
		if err := out.Encode(p); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		s.opts.Log.Error("the invocation index was not rebuilt", "tenant", tenant, "err", err)
		_ = out.Encode(failed{last, "the index could not be rebuilt further back; the daemon's log says why"})
	}
	return nil
}
