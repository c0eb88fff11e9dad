package apt

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Want is what a recipe asks for with from: {debian: …} or {ubuntu: …}.
type Want struct {
	Distro     string   // "debian" or "ubuntu"
	Suite      string   // "bookworm"
	Mirror     string   // "": what the host uses
	Suites     []string // more suites on Mirror
	Components []string // nil: those of the host's source, else main
	Keys       Keyring  // empty: what the host trusts for it
}

// A NoSourceError means that nothing names an archive that has what was asked for, or no key for it.
type NoSourceError struct {
	Distro, Suite string
	Why           string
	NeedKeys      bool // only keys are missing
}

func (e *NoSourceError) Error() string {
	return fmt.Sprintf("no source for %s %s: %s", e.Distro, e.Suite, e.Why)
}

func (e *NoSourceError) Hint() string {
	if e.NeedKeys {
		return "name the archive's OpenPGP keys with keys: in the recipe"
	}
	return "name an archive with mirror: and its keys with keys: in the recipe"
}

// pockets that belong to a suite, in the order that they are read; "" is the suite itself. "/updates" is what the
// security suite was called before bullseye.
var pockets = []string{"", "-updates", "-security", "/updates"}

// Select returns the sources for a suite. Without w.Mirror these are the host's own: those of the suite and of
// its pockets for updates and security. When the host runs another suite of the same distribution, its mirrors are
// taken with the suite changed. Which of several third-party sources are really of the distribution, Load finds out.
//
// Errors: [NoSourceError]; why a source of the host that is needed can't be used.
func (h *Host) Select(w Want) ([]Source, error) {
	if w.Mirror != "" {
		return h.selectMirror(w)
	}
	found := h.inSuite(w.Suite, func(pocket string) string { return w.Suite + pocket })
	if len(found) == 0 && h.Distro == w.Distro {
		for _, own := range []string{h.Codename, "stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "devel"} {
			if own == "" || len(found) > 0 {
				continue
			}
			found = h.inSuite(own, func(pocket string) string { return pocketSuite(w.Suite, pocket) })
		}
	}
	disc := func(s Source) bool { _, is := errors.AsType[*discError](s.problem); return is }
	if slices.ContainsFunc(found, func(s Source) bool { return !disc(s) }) {
		found = slices.DeleteFunc(found, disc) // apt does without its discs, too
	}
	for i := range found {
		s := &found[i]
		if s.problem != nil {
			return nil, s.problem
		}
		s.ID = w.Distro + "/" + s.Suite
		s.Origin, s.guess = w.Distro, true
		if len(w.Components) > 0 {
			s.Components = w.Components
		}
		if !w.Keys.Empty() {
			s.Keys = w.Keys
		}
	}
	if len(found) == 0 {
		return nil, &NoSourceError{Distro: w.Distro, Suite: w.Suite, Why: "the apt of this machine names none"}
	}
	return found, nil
}

// inSuite returns copies of the host's sources of a suite and its pockets, under the name that rename gives: those with
// main, and with the components that other lines name of the same archive and suite.
func (h *Host) inSuite(suite string, rename func(pocket string) string) []Source {
	var found []Source
	for _, pocket := range pockets {
		for _, s := range h.Sources {
			if s.Suite != suite+pocket || !slices.Contains(s.Components, "main") {
				continue
			}
			s.Components = h.components(s)
			s.Suite = rename(pocket)
			found = append(found, s)
		}
	}
	return found
}

// components are those of every entry for the archive and suite of s, in the order of the entries.
func (h *Host) components(s Source) []string {
	list := slices.Clone(s.Components)
	for _, o := range h.Sources {
		if o.Suite != s.Suite || !slices.Equal(o.URIs, s.URIs) || o.problem != nil {
			continue
		}
		for _, c := range o.Components {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	return list
}

// slashSecurity are the Debian suites whose security suite is SUITE/updates.
var slashSecurity = []string{"etch", "lenny", "squeeze", "wheezy", "jessie", "stretch", "buster"}

// pocketSuite is the name of a suite's pocket, which may be called otherwise in the suite that the host runs.
func pocketSuite(suite, pocket string) string {
	if pocket == "-security" || pocket == "/updates" {
		pocket = "-security"
		if slices.Contains(slashSecurity, suite) {
			pocket = "/updates"
		}
	}
	return suite + pocket
}

func (h *Host) selectMirror(w Want) ([]Source, error) {
	keys := w.Keys
	if keys.Empty() {
		keys = h.keysFor(w)
	}
	if keys.Empty() {
		return nil, &NoSourceError{Distro: w.Distro, Suite: w.Suite, NeedKeys: true,
			Why: "the apt of this machine trusts no key for " + redact(w.Mirror)}
	}
	components := w.Components
	if len(components) == 0 {
		components = []string{"main"}
	}
	var list []Source
	for _, suite := range append([]string{w.Suite}, w.Suites...) {
		s, err := NewSource(w.Distro, w.Mirror, suite, components, keys)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// keysFor returns what the host trusts for a mirror: the keys of its own source there, else of its sources of the
// distribution, else its common keys.
func (h *Host) keysFor(w Want) Keyring {
	var keys Keyring
	for _, s := range h.Sources {
		if s.problem == nil && slices.Contains(s.URIs, strings.TrimRight(w.Mirror, "/")) {
			keys = keys.Merge(s.Keys)
		}
	}
	if keys.Empty() && h.Distro == w.Distro {
		for _, s := range h.inSuite(h.Codename, func(pocket string) string { return pocket }) {
			keys = keys.Merge(s.Keys)
		}
	}
	if keys.Empty() {
		return h.Trusted
	}
	return keys
}

// NewSource returns a source that a recipe names. name and suite make its ID. A suite that ends in "/" is a flat
// archive's and has no components; another has main if none are given.
func NewSource(name, uri, suite string, components []string, keys Keyring) (Source, error) {
	s := Source{URIs: []string{strings.TrimRight(uri, "/")}, Suite: suite, Components: components, Keys: keys}
	if err := checkURI(uri); err != nil {
		return Source{}, fmt.Errorf("archive %s: %w", name, err)
	}
	if keys.Empty() {
		return Source{}, fmt.Errorf("archive %s: no keys to verify it with", name)
	}
	switch {
	case suite == "" || strings.HasPrefix(suite, "/") && suite != "/" || strings.Contains(suite, ".."):
		return Source{}, fmt.Errorf("archive %s: suite %q makes no sense", name, suite)
	case s.Flat() && len(components) > 0:
		return Source{}, fmt.Errorf("archive %s: suite %q is flat and has no components", name, suite)
	case !s.Flat() && len(components) == 0:
		s.Components = []string{"main"}
	}
	s.ID = path.Join(name, suite)
	return s, nil
}
