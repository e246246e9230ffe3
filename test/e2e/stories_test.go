//go:build integration

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/test/harness"
)

// stories are invocations of one Restate whose lives are told while they last and
// when they are over.
type stories struct {
	t       *testing.T
	daemon  *harness.Daemon
	client  harness.Client
	restate *restateServer
	service *transcript // what the services print

	id map[string]string // of each story's invocation, by name
}

// TestStories has a real Restate live through what makes an invocation hard to
// follow, and looks at what the invocation API and the command line tell of it:
// while it waits, fails or sleeps, and at its end.
func TestStories(t *testing.T) {
	s := beginStories(t)
	t.Run("while they last", func(t *testing.T) { s.at(t).during() })
	if t.Failed() {
		return
	}
	follower := s.follow("signature")
	s.proceed()
	t.Run("when they are over", func(t *testing.T) { s.at(t).after() })
	t.Run("followed", func(t *testing.T) { s.at(t).followed(follower) })
}

func (s *stories) at(t *testing.T) *stories {
	clone := *s
	clone.t = t
	return &clone
}

// beginStories starts all and sets every story going.
func beginStories(t *testing.T) *stories {
	s := &stories{t: t, daemon: harness.Start(t), id: map[string]string{}, service: &transcript{}}
	s.client = s.daemon.Client()
	var services sync.WaitGroup
	var path string
	services.Go(func() { path = buildService(t) })
	s.restate = startRestate(t, s.client, "otlp+"+s.daemon.OTLPHTTP+"/v1/traces")
	services.Wait()
	s.restate.register(t, startServiceWriting(t, path, s.service))

	s.call("Greeter/greet", `"Ada"`, "") // has Restate connect to the services
	s.id["order"] = s.send("Order/o1/run", `"book"`)
	s.id["storm"] = s.send("Weather/sail", `"Ada"`)
	s.id["paused"] = s.send("Weather/fly", `"Ada"`)
	s.id["signature"] = s.send("Notary/sign", `"deed"`, "Idempotency-Key", "deed")
	s.id["cancelled"] = s.send("Notary/sign", `"will"`)
	s.id["killed"] = s.send("Notary/sign", `"bill"`)
	s.id["nested"] = s.call("Greeter/nested", `"Ada"`, "")
	s.id["repeated"] = s.call("Greeter/greet", `"Ada"`, "once")
	return s
}

// during checks what is told of each story before it goes on.
func (s *stories) during() {
	s.await("order", func(i api.Invocation) error {
		if len(i.Callees) != 1 {
			return fmt.Errorf("%d callees", len(i.Callees))
		}
		s.id["reminder"] = i.Callees[0].ID
		return nil
	})
	// This one waits for some time only, so it is looked at first.
	s.await("reminder", func(i api.Invocation) error {
		return wants(i, want{outcome: "scheduled", caller: "order"}, s)
	})
	inOrder(s.t, "reminder", s.command("timeline", s.id["reminder"]), []string{"scheduled", "└─ scheduled, for", "· due 20"})
	s.keep("during", "reminder")
	s.await("order", func(i api.Invocation) error {
		return wants(i, want{outcome: "suspended", attempts: 1, origin: "ingress", callees: "Mailer/remind"}, s)
	})
	s.await("signature", func(i api.Invocation) error {
		return wants(i, want{outcome: "suspended", attempts: 1, origin: "ingress"}, s)
	})
	if again := s.send("Notary/sign", `"deed"`, "Idempotency-Key", "deed"); again != s.id["signature"] {
		s.t.Errorf("the repeated request is of %s, was of %s", again, s.id["signature"])
	}
	s.await("paused", func(i api.Invocation) error {
		return wants(i, want{outcome: "paused", attempts: 3, origin: "ingress", code: "RT0007"}, s)
	})
	seen := 0
	s.await("storm", func(i api.Invocation) error {
		seen = i.AttemptsSeen
		return wants(i, want{outcome: "running", attempts: 5, origin: "ingress", code: "RT0007"}, s)
	})
	s.await("storm", func(i api.Invocation) error {
		if i.AttemptsSeen <= seen {
			return fmt.Errorf("%d attempts, as before", i.AttemptsSeen)
		}
		return wants(i, want{outcome: "running", attempts: 20, origin: "ingress", code: "RT0007"}, s)
	})
	for name, says := range map[string][]string{
		"order":     {"attempt 1 ·", `run "charge"`, "one-way call", "└─ suspended, for"},
		"signature": {"attempt 1 ·", `run "ask"`, "is a duplicate", "└─ suspended, for"},
		"paused":    {"attempt 1 ·", "to retry", "attempt 3 ·", "· failed", "pausing the invocation", "└─ paused until somebody resumes it"},
		"storm":     {"attempt 1 ·", "· failed", "[RT0007]", "the storm goes on", "to retry", "more attempts failed alike", "· failed", "└─ "},
	} {
		inOrder(s.t, name, s.command("timeline", s.id[name]), says)
	}
	s.keep("during", "order", "signature", "paused", "storm")
}

// proceed lets every story go on to its end.
func (s *stories) proceed() {
	s.post(s.restate.ingress+"/restate/awakeables/"+s.awakeable("deed")+"/resolve", `"Grace"`)
	s.admin("cancel", "cancelled")
	s.admin("kill", "killed")
	if again := s.call("Greeter/greet", `"Ada"`, "once"); again != s.id["repeated"] {
		s.t.Errorf("the repeated call is %s, was %s", again, s.id["repeated"])
	}
	s.id["payment"] = s.call("Order/o1/pay", `"Ada"`, "")
	s.call("Weather/calm", "", "")
	s.admin("resume", "paused")
}

// after checks what is told of each story at its end.
func (s *stories) after() {
	for name, w := range map[string]want{
		"order":     {outcome: "succeeded", attempts: 2, origin: "ingress", callees: "Counter/orders/add call, Mailer/remind send"},
		"reminder":  {outcome: "succeeded", attempts: 1, origin: "send", caller: "order"},
		"payment":   {outcome: "succeeded", attempts: 1, origin: "ingress"},
		"signature": {outcome: "succeeded", attempts: 2, origin: "ingress", traces: 2},
		"cancelled": {outcome: "failed", attempts: 2, origin: "ingress", status: "409 Aborted", message: "Cancelled"},
		"killed":    {outcome: "failed", attempts: 1, origin: "ingress", status: "409 Aborted", message: "killed"},
		"paused":    {outcome: "succeeded", attempts: 4, origin: "ingress", code: "RT0007"},
		"storm":     {outcome: "succeeded", attempts: 21, origin: "ingress", code: "RT0007"},
		"repeated":  {outcome: "succeeded", attempts: 1, origin: "ingress", traces: 2},
		"nested":    {outcome: "succeeded", attempts: 1, origin: "ingress", callees: "Counter/nested/add call"},
	} {
		w.final = true
		s.await(name, func(i api.Invocation) error { return wants(i, w, s) })
		s.checkTimeline(name)
	}
	// Log lines are told of at once, spans when they are searched for: what is known
	// of the outcome may be ahead of what the timeline shows.
	for _, name := range []string{"order", "reminder", "signature", "cancelled", "killed", "paused", "storm", "repeated", "nested"} {
		harness.Poll(s.t, visibleWithin, "the story of "+name, func() error {
			return compare(s.t, filepath.Join("testdata", "stories", name+".txt"),
				s.anonymous(s.command("timeline", s.id[name], "--level", "info", "--relatives")))
		})
	}
	s.keep("after", "order", "reminder", "signature", "killed", "repeated")
	if out := s.command("list", "--outcome", "failed", "--error-code", "409 Aborted"); strings.Count(out, "Notary/sign") != 2 {
		s.t.Errorf("the list of those cancelled and killed is\n%s", out)
	}
	if out := s.command("show", s.id["order"][:20]); !strings.Contains(out, "Order/o1/run") {
		s.t.Errorf("an id that was cut short shows\n%s", out)
	}
}

// followed checks what a story's follower printed before it ended by itself.
func (s *stories) followed(follower *harness.Process) {
	if err := follower.Wait(visibleWithin); err != nil {
		s.t.Fatalf("follow didn't end by itself: %v\n%s", err, follower.Output())
	}
	inOrder(s.t, "signature", follower.Output(), []string{
		"attempt 1 ·", "suspended", "resumed after", "attempt 2 · begins", "succeeded after", "2 attempts",
	})
}

func (s *stories) follow(name string) *harness.Process {
	cmd := exec.Command(harness.Binary(s.t, "invoscope"), "invocation", "follow", s.id[name], "--data-dir", s.daemon.DataDir)
	p := harness.Spawn(s.t, cmd)
	harness.Poll(s.t, visibleWithin, "follow has begun", func() error {
		if !strings.Contains(p.Output(), "suspended") {
			return fmt.Errorf("it wrote %q", p.Output())
		}
		return nil
	})
	return p
}

// send has Restate's ingress take an invocation, with a header if there is one, and
// returns its id.
func (s *stories) send(target, input string, header ...string) string {
	s.t.Helper()
	var accepted struct {
		ID string `json:"invocationId"`
	}
	decodeJSON(s.t, s.post(s.restate.ingress+"/"+target+"/send", input, header...), &accepted)
	return accepted.ID
}

// call has an invocation answered, and returns its id.
func (s *stories) call(target, input, idempotencyKey string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.restate.ingress+"/"+target, strings.NewReader(input))
	if err != nil {
		s.t.Fatal(err)
	}
	if input != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("call %s: %v", target, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("call %s: %s", target, resp.Status)
	}
	return resp.Header.Get("X-Restate-Id")
}

func (s *stories) post(url, content string, header ...string) []byte {
	s.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	status, body, err := s.restate.post(s.t.Context(), url, content, h)
	if err != nil || status/100 != 2 {
		s.t.Fatalf("post %s: status %d: %s (%v)", url, status, body, err)
	}
	return body
}

// admin does to a story what an operator would.
func (s *stories) admin(verb, name string) {
	s.t.Helper()
	url := s.restate.admin + "/invocations/" + s.id[name] + "/" + verb
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPatch, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", verb, name, err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s", verb, name, resp.Status)
	}
}

// awakeable is the id that Notary/sign printed for a document.
func (s *stories) awakeable(document string) string {
	s.t.Helper()
	match := regexp.MustCompile(`(?m)^awakeable ` + document + ` (\S+)$`).FindStringSubmatch(s.service.String())
	if match == nil {
		s.t.Fatalf("nobody was asked to sign the %s: %q", document, s.service)
	}
	return match[1]
}

// await polls a story's facts until check has nothing to say.
func (s *stories) await(name string, check func(api.Invocation) error) {
	s.t.Helper()
	harness.Poll(s.t, visibleWithin, name, func() error {
		i, err := s.get(s.id[name])
		if err != nil {
			return err
		}
		return check(i)
	})
}

func (s *stories) get(id string) (i api.Invocation, err error) {
	body, err := s.client.Get(s.t.Context(), "/api/invoscope/v1/invocations/"+id, "application/json")
	if err != nil {
		return i, err
	}
	return i, unmarshal(body, &i)
}

// command is what `invoscope invocation` prints.
func (s *stories) command(args ...string) string {
	s.t.Helper()
	args = append(append([]string{"invocation"}, args...), "--data-dir", s.daemon.DataDir)
	out, err := exec.Command(harness.Binary(s.t, "invoscope"), args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("invoscope %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// checkTimeline looks at a story's events as the API tells them.
func (s *stories) checkTimeline(name string) {
	s.t.Helper()
	var told api.Timeline
	harness.Poll(s.t, visibleWithin, "the timeline of "+name, func() error {
		body, err := s.client.Get(s.t.Context(), "/api/invoscope/v1/invocations/"+s.id[name]+"/timeline?limit=5000", "application/json")
		if err != nil {
			return err
		}
		if err := unmarshal(body, &told); err != nil {
			return err
		}
		return wholeTimeline(told, s.id[name])
	})
}

// wholeTimeline checks that events are in order, and begin and end as a life does.
func wholeTimeline(told api.Timeline, id string) error {
	var last time.Time
	count := map[string]int{}
	for _, e := range told.Events {
		if e.Time.Before(last) {
			return fmt.Errorf("%v comes after %v", e.Time, last)
		}
		last = e.Time
		if e.Invocation != id || e.Relation != "self" {
			return fmt.Errorf("an event of %s (%s)", e.Invocation, e.Relation)
		}
		if e.Span != nil {
			kind, _, _ := strings.Cut(e.Span.Name, " ")
			count[kind]++
		} else {
			count["line"]++
		}
	}
	if count["invocation-start"] != 1 || count["invocation-end"] != 1 || count["invocation-attempt"] == 0 || count["line"] == 0 {
		return fmt.Errorf("the events are %v", count)
	}
	if len(told.Gaps) > 0 || told.Next != "" {
		return fmt.Errorf("gaps %q, next %q", told.Gaps, told.Next)
	}
	return nil
}
