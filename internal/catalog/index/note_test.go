package index_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"
)

// A note that can't be used is named, with what to do; all that other notes say is there as before.
func TestDamagedNotes(t *testing.T) {
	none := `{"record":"sha256:` + strings.Repeat("0", 64) + `"}`
	for _, tt := range []struct {
		name      string
		kind, key string // of the note that is written; %BASE and %WEB are digits of these images
		text      string
		says      string
		hint      string
		lost      string // the image or tag that can't be found any more, "" for none
	}{
		{"a tag cut off", "tag", "base:1.0", `{"ref`, "tag base:1.0: %NOTE is damaged: ", "brickyard untag base:1.0", "base:1.0"},
		{"a tag of nothing", "tag", "base:1.0", `{}`, `it is about ""`, "brickyard tag IMAGE base:1.0 --move", "base:1.0"},
		{"a tag that is another's", "tag", "base:1.0", `{"ref":"web:1.0","image":"sha256:%WEB"}`, `it is about "web:1.0"`, "untag", "base:1.0"},
		{"a tag without an image", "tag", "base:1.0", `{"ref":"base:1.0","image":"sha256:../../x"}`, `it points at "sha256:../../x", which is no digest`, "untag", "base:1.0"},
		{"no tag at all", "tag", "Base:1.0", `{}`, `"Base:1.0" is not how a name:tag is written here`, "rm %NOTE", ""},
		{"a record cut off", "record", "%BASE", `{"rec`, "image sha256:%BASE: %NOTE is damaged: ", "bake its recipe again", "base:1.0"},
		{"a record of nothing", "record", "%BASE", `{}`, `it leads to "", which is no digest`, "bake its recipe again", "base:1.0"},
		{"a record that is gone", "record", "%BASE", none, "the record that it leads to: ", "bake its recipe again", "base:1.0"},
		{"a record that is another's", "record", "%BASE", "%WEBRECORD", `it leads to the record of "sha256:%WEB"`, "bake its recipe again", "base:1.0"},
		{"no record at all", "record", "%WEB~", `{}`, `"%WEB~" is not the digest of an image`, "rm %NOTE", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, base, web, web11 := web(t)
			other, err := os.ReadFile(s.NotePath("record", web.Image.Hex()))
			if err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("%BASE", base.Image.Hex(), "%WEBRECORD", string(other), "%WEB", web.Image.Hex()).Replace
			note := s.NotePath(tt.kind, fill(tt.key))
			fill = strings.NewReplacer("%BASE", base.Image.Hex(), "%WEBRECORD", string(other), "%WEB", web.Image.Hex(), "%NOTE", note).Replace
			if err := errors.Join(os.MkdirAll(filepath.Dir(note), 0o755), os.WriteFile(note, []byte(fill(tt.text)), 0o644)); err != nil {
				t.Fatal(err)
			}
			c := index.New(s)
			images, damaged, err := c.Images(index.Filter{})
			if err != nil || len(damaged) != 1 {
				t.Fatalf("Images: %v, %v", damaged, err)
			}
			if got := damaged[0].Error(); !strings.Contains(got, fill(tt.says)) || !strings.Contains(got, fill(tt.key)) {
				t.Errorf("it says %q, want %q", got, fill(tt.says))
			}
			if got := damaged[0].Hint(); !strings.Contains(got, fill(tt.hint)) {
				t.Errorf("hint %q, want %q", got, fill(tt.hint))
			}
			var got []tree.Digest
			for _, im := range images {
				got = append(got, im.Digest)
			}
			if tt.kind == "record" && tt.lost != "" {
				got = append([]tree.Digest{base.Image}, got...)
			}
			if want := []tree.Digest{base.Image, web11.Image, web.Image}; !slices.Equal(got, want) {
				t.Errorf("images %v, want %v", got, want)
			}
			for _, ref := range []string{"base:1.0", "web:1.0", "web:1.1", web.Image.Hex()[:12]} {
				if _, err := c.Lookup(ref); (err != nil) != (ref == tt.lost) {
					t.Errorf("Lookup(%s): %v", ref, err)
				}
			}
			// What is based on the image goes on without it.
			steps, err := c.History(web)
			if err != nil || len(steps) != 2 {
				t.Errorf("History: %v, %v", steps, err)
			}
			if _, err := c.Owner(web, "/bin/ls"); err != nil {
				t.Errorf("Owner: %v", err)
			}
		})
	}
}

// A damaged tag can be given again, on purpose, and taken away.
func TestDamagedTag(t *testing.T) {
	s, _, web, _ := web(t)
	c := index.New(s)
	damage := func() {
		t.Helper()
		if err := os.WriteFile(s.NotePath("tag", "web:1.0"), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tag := func(move bool) error {
		b := s.Batch()
		if err := c.Tag(b, "web:1.0", web.Image, move, "ann@forge", time.Now()); err != nil {
			return err
		}
		return b.Commit()
	}
	damage()
	if _, ok := errors.AsType[*index.NoteError](tag(false)); !ok {
		t.Error("without --move a damaged tag was given to another image")
	}
	if err := tag(true); err != nil {
		t.Error(err)
	}
	if got, err := c.Resolve("web:1.0"); got != web.Image {
		t.Errorf("after it was given again: %s, %v", got, err)
	}
	damage()
	if got, err := c.Untag("web:1.0"); err != nil || !slices.Equal(got, []index.Tag{{Ref: "web:1.0"}}) {
		t.Errorf("Untag = %+v, %v", got, err)
	}
	if _, err := c.Resolve("web:1.0"); err == nil {
		t.Error("it is still there")
	}
}

// Without a record that can be read, an image counts as not there: who bakes it writes the record anew.
func TestHas(t *testing.T) {
	s, base, web, _ := web(t)
	c := index.New(s)
	var note struct{ Record tree.Digest }
	if err := s.Note("record", web.Image.Hex(), &note); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.BlobPath(note.Record), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !c.Has(base.Image) || c.Has(web.Image) || c.Has("sha256:x") {
		t.Errorf("Has: %v, %v, %v; want only the first", c.Has(base.Image), c.Has(web.Image), c.Has("sha256:x"))
	}
	b := s.Batch()
	if err := errors.Join(c.Add(b, web), b.Commit()); err != nil || !c.Has(web.Image) {
		t.Errorf("after it was added again: %v", err)
	}
}
