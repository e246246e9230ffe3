package ingest

import (
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestCodecRefusesDeepRequestsBeforeItDecodes(t *testing.T) {
	c := NewCodec()
	for levels, want := range map[int]error{0: nil, maxDepth: nil, 1_000_000: errTooDeep} {
		err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(nested(levels))}, new(emptypb.Empty))
		if !errors.Is(err, want) {
			t.Errorf("%d levels: %v, want %v", levels, err, want)
		}
	}
}

// Whatever the bytes, the check ends and doesn't take them for deep by accident
// when they are shallow.
func FuzzProtoDepth(f *testing.F) {
	f.Add(nested(3))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := checkProtoDepth(body); err != nil && len(body) < 2*maxDepth {
			t.Errorf("%d bytes can't be that deep", len(body))
		}
		_ = checkJSONDepth(body)
	})
}
