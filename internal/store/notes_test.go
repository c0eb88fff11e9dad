package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A damaged note names its file; as a cache it is as good as none.
func TestDamagedNote(t *testing.T) {
	s := open(t)
	if err := s.Remember("kind", "a", map[string]int{"v": 1}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", "[]", "{\"v\": \"x\"}", "\x00\x00\x00"} {
		if err := os.WriteFile(s.NotePath("kind", "a"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var v map[string]int
		damaged, ok := errors.AsType[*DamagedError](s.Note("kind", "a", &v))
		if !ok || damaged.Path != s.NotePath("kind", "a") {
			t.Errorf("%q: %v", text, damaged)
		}
		if err := s.Cached("kind", "a", &v); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q as a cache: %v", text, err)
		}
	}
}

// An error of writing a file is about that file, not about the one that was to become it.
func TestWriteFileError(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "d")
	if err := os.MkdirAll(full+"/x", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nowhere", "f"), full} {
		err := WriteFile(path, nil, 0o644)
		if err == nil || !strings.HasPrefix(err.Error(), "write "+path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
