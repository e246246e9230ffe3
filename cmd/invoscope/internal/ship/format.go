package ship

// Format is how lines are wrapped by whatever wrote them down.
type Format string

// The formats. [FormatAuto] looks at each line by itself: a runtime wraps every
// line of a file, and what isn't wrapped doesn't look like it by accident.
const (
	FormatAuto     Format = "auto"
	FormatRaw      Format = "raw"      // not at all
	FormatDocker   Format = "docker"   // Docker's json-file driver
	FormatCRI      Format = "cri"      // containerd and CRI-O, that is Kubernetes
	FormatJournald Format = "journald" // journalctl -o json
)

// sniff tells how the line that begins data is wrapped. If that isn't the format
// that was asked for, the line is as good as raw.
func (f Format) sniff(data []byte) Format {
	found := FormatRaw
	_, docker := cutDocker(data)
	switch {
	case f == FormatRaw:
	case docker:
		found = FormatDocker
	case isJournald(data):
		found = FormatJournald
	case isCRI(data):
		found = FormatCRI
	}
	if f == FormatAuto || f == found {
		return found
	}
	return FormatRaw
}

// maxRecord is how long a wrapped record may be with all its parts, in bytes; a
// longer one comes in several entries. Escapes make JSON up to six times as long
// as its text, and journald writes bytes that aren't plain text as numbers.
const maxRecord = 4 << 20
