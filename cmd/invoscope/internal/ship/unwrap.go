package ship

import (
	"bytes"
	"errors"
	"time"

	"github.com/valyala/fastjson"
)

// unwrapper turns the tokens of one file or pipe, as splitRecords makes them,
// into lines.
type unwrapper struct {
	format  Format
	from    *source                              // of lines that don't tell more
	joiner  joiner                               // takes the lines
	docker  func(attrs *fastjson.Object) *source // or nil; once, for the first attrs
	journal *journal

	parser fastjson.Parser
	parts  [2]parts // of standard output and standard error
	next   int64    // the offset in a file behind the last token
}

// parts is the beginning of a line that goes on.
type parts struct {
	open bool
	text []byte
	at   time.Time // of the first one
	from *source   // where lines of several sources come together
	here place     // of the first one, likewise
}

// token adds the lines of a token.
func (u *unwrapper) token(token []byte) error {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	return u.unwrap(token)
}

// fileTokens adds the lines of tokens that follow each other in a file. The last of
// the offsets is that behind the last token.
func (u *unwrapper) fileTokens(tokens [][]byte, offsets []int64) error {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	if offsets[0] != u.next {
		// Another file, since one that was renamed and its successor may share a
		// path, or one that was truncated: it doesn't go on with the same record.
		if err := u.joiner.flush(); err != nil {
			return err
		}
	}
	for i, token := range tokens {
		u.joiner.here.offset = offsets[i]
		if err := u.unwrap(token); err != nil {
			return err
		}
	}
	u.next = offsets[len(tokens)]
	return nil
}

// hold returns where reading must begin again for the lines that wait, if there are
// any.
func (u *unwrapper) hold() (h hold, waits bool) {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	at, waits := u.joiner.earliest()
	return hold{next: u.next, from: at.offset}, waits
}

// end adds what waits for more. What comes nevertheless isn't joined.
func (u *unwrapper) end() error {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	return errors.Join(u.journal.flush(&u.joiner, u.journal.at), u.joiner.end())
}

func (u *unwrapper) unwrap(token []byte) error {
	switch found := u.format.sniff(token); found {
	case FormatJournald:
		return u.journal.entry(token, &u.joiner)
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
			if err := u.last(&u.parts[i], i == index(true), nil); err != nil {
				return err
			}
		}
		return nil
	case FormatRaw, FormatAuto:
	}
	return u.joiner.line(stream{}, token, time.Time{}, u.from)
}

// part takes one line of a container runtime.
func (u *unwrapper) part(f Format, line []byte) error {
	var text []byte
	var at time.Time
	var stderr, partial bool
	if f == FormatCRI {
		if !isCRI(line) {
			return u.emit(false, line, time.Time{})
		}
		stderr, partial = criPart(line)
		text, at = parseCRI(line)
	} else {
		l, ok := parseDocker(&u.parser, line)
		if !ok {
			return u.emit(false, line, time.Time{})
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
		return u.last(p, stderr, text)
	}
	return u.emit(stderr, text, at)
}

// last adds a line whose last part is text.
func (u *unwrapper) last(p *parts, stderr bool, text []byte) error {
	if !p.open {
		return nil
	}
	err := u.emit(stderr, append(p.text, text...), p.at)
	p.open, p.text = false, p.text[:0]
	return err
}

func (u *unwrapper) emit(stderr bool, text []byte, at time.Time) error {
	return eachPiece(text, func(piece []byte) error { return u.joiner.line(stream{stderr: stderr}, piece, at, u.from) })
}

// eachPiece calls add with a line, in pieces if it is longer than an entry may be.
func eachPiece(text []byte, add func(piece []byte) error) error {
	text = bytes.TrimSuffix(text, []byte{'\r'})
	for len(text) > maxLine {
		n := cut(text)
		if err := add(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return add(text)
}
