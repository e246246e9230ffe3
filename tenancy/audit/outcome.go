package audit

import "net/http"

// outcome is what became of a request, in one word.
type outcome string

const (
	ok      outcome = "ok"
	denied  outcome = "denied"  // for who asks
	limited outcome = "limited" // for how much
	refused outcome = "refused" // for what is asked
	failed  outcome = "failed"  // for our own or an engine's sake
	cut     outcome = "cut"     // let in, and not answered to the end
)

// outcomeOf goes by the gRPC code where there is one.
func outcomeOf(r *Record) outcome {
	if r.Code != "" {
		return outcomeOfCode(r)
	}
	switch s := r.Status; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return denied
	case s == http.StatusTooManyRequests:
		return limited
	case s >= http.StatusInternalServerError:
		return failed
	case s >= http.StatusBadRequest:
		return refused
	case r.Reason != "": // after the answer had begun
		return cut
	}
	return ok
}

// outcomeOfCode knows the names of google.golang.org/grpc/codes.
func outcomeOfCode(r *Record) outcome {
	switch r.Code {
	case "OK":
		return ok
	case "Unauthenticated", "PermissionDenied":
		if r.Phase == End {
			return cut
		}
		return denied
	case "ResourceExhausted":
		return limited
	case "Canceled", "DeadlineExceeded":
		return cut
	case "InvalidArgument", "NotFound", "Unimplemented", "OutOfRange", "FailedPrecondition", "AlreadyExists":
		return refused
	}
	return failed
}
