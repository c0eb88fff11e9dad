package bake

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"brickyard/internal/store"
)

// A digest is remembered for a file that has been as it is for a while, and only as long as it stays so.
func TestFileSum(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(t.TempDir(), "root.tar")
	const mark = "what the note says"
	later := time.Now().Add(time.Hour)
	check := func(name, content string, now time.Time, remembered bool) {
		t.Helper()
		want := store.Sum([]byte(content)).Hex()
		if remembered {
			want = mark
		}
		if got, err := fileSum(s, p, now); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	// forge changes the remembered digest: who returns it has not read the file.
	forge := func() {
		t.Helper()
		key := store.Sum([]byte(p)).Hex()
		var seen seenFile
		if err := s.Note(kindSeen, key, &seen); err != nil {
			t.Fatal(err)
		}
		seen.SHA256 = mark
		if err := s.Remember(kindSeen, key, seen); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	write(p, "one")
	check("new", "one", time.Now(), false)
	if keys, err := s.Notes(kindSeen); err != nil || len(keys) > 0 {
		t.Errorf("a file that was just written is remembered: %v, %v", keys, err)
	}
	check("settled", "one", later, false)
	forge()
	check("seen before", "one", later, true)

	fi, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	write(p, "two")
	if err := os.Chtimes(p, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	check("same size and modification time", "two", later, false)
	forge()
	write(p+".new", "six")
	if err := os.Rename(p+".new", p); err != nil {
		t.Fatal(err)
	}
	check("another file in its place", "six", later, false)

	key := store.Sum([]byte(p)).Hex()
	if err := os.WriteFile(filepath.Join(s.Dir(), "notes", kindSeen, key), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("damaged note", "six", later, false)
	if _, err := fileSum(s, p+".lost", later); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}
