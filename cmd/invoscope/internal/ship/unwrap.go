package ship

import (
	"bytes"
	"sync"
	"time"

	"github.com/valyala/fastjson"
)

// addFunc takes a line, whose bytes the caller may reuse afterwards. An error
// means that it takes no more.
type addFunc func(line []byte, at time.Time, from *source) error

// unwrapper turns the tokens of one file or pipe, as splitRecords makes them,
// into lines.
type unwrapper struct {
	format  Format
	from    *source // of lines that don't tell more
	add     addFunc
	docker  func(attrs *fastjson.Object) *source // or nil; once, for the first attrs
	journal *journal

	mu     sync.Mutex // a file that was renamed and its successor may share a path
	parser fastjson.Parser
	parts  [2]parts // of standard output and standard error
}

// parts is the beginning of a line that goes on.
type parts struct {
	open bool
	text []byte
	at   time.Time // of the first one
	from *source   // where lines of several sources come together
}

// token adds the lines of a token.
func (u *unwrapper) token(token []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch found := u.format.sniff(token); found {
	case FormatJournald:
		return u.journal.entry(token, u.add)
	case FormatCRI, FormatDocker:
		for len(token) > 0 {
			var line []byte
			line, token, _ = bytes.Cut(token, []byte{'\n'})
			if err := u.part(found, line); err != nil {
				return err
			}
		}
		// Still open is what was given up, see splitRecords and partialLineWait.
		for i := range u.parts {
			if err := u.end(&u.parts[i], nil); err != nil {
				return err
			}
		}
		return nil
	case FormatRaw, FormatAuto:
	}
	return u.add(token, time.Time{}, u.from)
}

// part takes one line of a container runtime.
func (u *unwrapper) part(f Format, line []byte) error {
	var text []byte
	var at time.Time
	var stderr, partial bool
	if f == FormatCRI {
		if !isCRI(line) {
			return u.emit(line, time.Time{})
		}
		stderr, partial = criPart(line)
		text, at = parseCRI(line)
	} else {
		l, ok := parseDocker(&u.parser, line)
		if !ok {
			return u.emit(line, time.Time{})
		}
		if l.attrs != nil && u.docker != nil {
			u.from, u.docker = u.docker(l.attrs), nil
		}
		stderr, partial, text, at = l.stderr, !bytes.HasSuffix(l.text, []byte{'\n'}), l.text, l.at
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	p := &u.parts[index(stderr)]
	switch {
	case partial:
		if !p.open {
			p.open, p.at = true, at
		}
		p.text = append(p.text, text...)
		return nil
	case p.open:
		return u.end(p, text)
	}
	return u.emit(text, at)
}

// end adds a line whose last part is text.
func (u *unwrapper) end(p *parts, text []byte) error {
	if !p.open {
		return nil
	}
	err := u.emit(append(p.text, text...), p.at)
	p.open, p.text = false, p.text[:0]
	return err
}

func (u *unwrapper) emit(text []byte, at time.Time) error {
	return addLine(u.add, text, at, u.from)
}

// addLine adds a line, in pieces if it is longer than an entry may be.
func addLine(add addFunc, text []byte, at time.Time, from *source) error {
	text = bytes.TrimSuffix(text, []byte{'\r'})
	for len(text) > maxLine {
		n := cut(text)
		if err := add(text[:n], at, from); err != nil {
			return err
		}
		text = text[n:]
	}
	return add(text, at, from)
}
