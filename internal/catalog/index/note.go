package index

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"

	"brickyard/internal/store"
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// A NoteError is a tag or an image whose note is there, but can't be used. What other notes say is not touched by it.
type NoteError struct {
	What string // as "tag web:1.0", "image sha256:…"
	Err  error  // names the file; often a [store.DamagedError]
	hint string
}

func (e *NoteError) Error() string { return e.What + ": " + e.Err.Error() }
func (e *NoteError) Unwrap() error { return e.Err }

// Hint says what to do, unless the note may be as it should be and only can't be read.
func (e *NoteError) Hint() string {
	if errors.Is(e.Err, fs.ErrPermission) {
		return ""
	}
	return e.hint
}

// unusable says whether err means that an image has no record that can be read.
func unusable(err error) bool {
	_, damaged := errors.AsType[*NoteError](err)
	return damaged || errors.Is(err, store.ErrNotFound)
}

// tag reads the note of a tag. Errors: [store.ErrNotFound], [NoteError].
func (c *Catalog) tag(r Ref) (Tag, error) {
	var t Tag
	err := c.store.Note(kindTag, r.key(), &t)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Tag{}, err
	case err != nil:
	case t.Ref != r.String():
		err = c.damagedTag(r.key(), "it is about %q", t.Ref)
	case !digestForm.MatchString(string(t.Image)):
		err = c.damagedTag(r.key(), "it points at %q, which is no digest", t.Image)
	}
	if err != nil {
		return Tag{}, &NoteError{What: "tag " + r.String(), Err: err, hint: fmt.Sprintf(
			"brickyard tag IMAGE %[1]s --move gives the name to an image again, brickyard untag %[1]s takes it away", r)}
	}
	return t, nil
}

func (c *Catalog) damagedTag(key, format string, a ...any) error {
	return &store.DamagedError{Path: c.store.NotePath(kindTag, key), Err: fmt.Errorf(format, a...)}
}

// refOf is the name:tag whose note has the key.
func (c *Catalog) refOf(key string) (Ref, error) {
	if name, err := url.PathUnescape(key); err == nil && strings.Contains(name, ":") {
		if r, err := ParseRef(name); err == nil && r.key() == key {
			return r, nil
		}
	}
	err := c.damagedTag(key, "%q is not how a name:tag is written here", key)
	return Ref{}, &NoteError{What: "tag", Err: err, hint: "take the file away: rm " + c.store.NotePath(kindTag, key)}
}

// strayRecord is about a note of kindRecord whose key is no digest.
func (c *Catalog) strayRecord(key string) *NoteError {
	p := c.store.NotePath(kindRecord, key)
	err := &store.DamagedError{Path: p, Err: fmt.Errorf("%q is not the digest of an image", key)}
	return &NoteError{What: "image", Err: err, hint: "take the file away: rm " + p}
}
