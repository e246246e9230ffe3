package ship

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
)

// hold is what must stay behind a checkpoint: of a file that was read up to the
// offset next, that which begins at the offset from.
type hold struct{ next, from int64 }

// knownFile is what matters here of how the file consumer writes down a file that it
// knows.
type knownFile struct {
	Offset         int64
	FileAttributes map[string]any
}

// setBack returns a list of known files with the offsets of those in held set back.
// The list is a line with their number, and then one of JSON for each
// (pkg/stanza/fileconsumer/internal/checkpoint). ok is false if one of held isn't in
// it: a file was just renamed, and must not be saved as read before its lines are
// added.
func setBack(list []byte, held map[file]hold) (back []byte, ok bool) {
	if len(held) == 0 {
		return list, true
	}
	missing := maps.Clone(held)
	lines := bytes.SplitAfter(list, []byte{'\n'})
	for i, line := range lines {
		var known knownFile
		if json.Unmarshal(line, &known) != nil {
			continue // the first, or what follows the last
		}
		of := fileOf(known.FileAttributes)
		h, waits := held[of]
		if !waits || h.next != known.Offset {
			continue
		}
		if lines[i], ok = setOffset(line, h.from); !ok {
			return nil, false
		}
		delete(missing, of)
	}
	return bytes.Join(lines, nil), len(missing) == 0
}

// setOffset changes the offset in a line of a known file, and nothing else.
func setOffset(line []byte, offset int64) (changed []byte, ok bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(line, &all) != nil {
		return nil, false
	}
	all["Offset"] = strconv.AppendInt(nil, offset, 10)
	changed, err := json.Marshal(all)
	return append(changed, '\n'), err == nil
}
