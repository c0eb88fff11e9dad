package export

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"brickyard/internal/catalog/index"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/store"

	"github.com/google/go-cmp/cmp"
)

// exporter bakes an image and returns what exports it.
func exporter(t *testing.T, layers ...indextest.Layer) *Exporter {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := indextest.Bake(s, indextest.Image{Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	return &Exporter{Catalog: index.New(s), Store: s, Record: r}
}

func oneFile(path, content string) indextest.Layer {
	return indextest.Layer{Kind: index.LayerRecipe, Files: map[string]indextest.File{path: indextest.Text(content)}}
}

// names lists a tar's entries.
func names(t *testing.T, data []byte) []string {
	t.Helper()
	var list []string
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s has a time or an owner: %+v", h.Name, h)
		}
		list = append(list, h.Name)
	}
}

// TestDockerArchiveHasALayerOnce: two layers that are the same are one file.
func TestDockerArchiveHasALayerOnce(t *testing.T) {
	x := exporter(t, oneFile("a", "1"), oneFile("b", "2"), oneFile("a", "1"))
	x.Ref = index.Ref{Name: "web", Tag: "1.0"}
	var b bytes.Buffer
	if err := x.Write(t.Context(), DockerArchive, &b); err != nil {
		t.Fatal(err)
	}
	l := x.Record.Layers
	first, second := l[0].DiffID.Hex(), l[1].DiffID.Hex()
	want := []string{
		first + "/", first + "/VERSION", first + "/layer.tar", second + "/", second + "/VERSION", second + "/layer.tar",
		x.Record.Config.Hex() + ".json", "manifest.json", "repositories",
	}
	if d := cmp.Diff(names(t, b.Bytes()), want); d != "" {
		t.Error(d)
	}
	if n := strings.Count(b.String(), `"`+first+`/layer.tar"`); n != 2 {
		t.Errorf("the manifest names the layer %d times, want 2", n)
	}
}

// TestWithoutLayers: an image of nothing is an image.
func TestWithoutLayers(t *testing.T) {
	x := exporter(t)
	for _, f := range Formats() {
		if err := x.Write(t.Context(), f, io.Discard); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestRefusesDamage(t *testing.T) {
	for _, f := range Formats() {
		for name, damage := range map[string]func(x *Exporter) error{
			"layer cut":    func(x *Exporter) error { return os.Truncate(x.Store.BlobPath(x.Record.Layers[0].Digest), 20) },
			"layer gone":   func(x *Exporter) error { return os.Remove(x.Store.BlobPath(x.Record.Layers[0].Digest)) },
			"no manifest":  func(x *Exporter) error { return os.Remove(x.Store.BlobPath(x.Record.Image)) },
			"listing gone": func(x *Exporter) error { return os.Remove(x.Store.BlobPath(x.Record.Layers[0].Tree)) },
			"other layer in its place": func(x *Exporter) error {
				other, err := os.ReadFile(x.Store.BlobPath(x.Record.Layers[1].Digest))
				if err != nil {
					return err
				}
				return os.WriteFile(x.Store.BlobPath(x.Record.Layers[0].Digest), other, 0o644)
			},
		} {
			if name == "listing gone" && f != Rootfs {
				continue // the others do not read it
			}
			x := exporter(t, oneFile("a", "1"), oneFile("b", "2"))
			if err := damage(x); err != nil {
				t.Fatal(err)
			}
			err := x.Write(t.Context(), f, io.Discard)
			if err == nil || !strings.HasPrefix(err.Error(), "export sha256:") {
				t.Errorf("%s, %s: %v", f, name, err)
			}
			if name == "other layer in its place" && !errors.Is(err, store.ErrDigest) {
				t.Errorf("%s, %s: %v, want %v", f, name, err, store.ErrDigest)
			}
		}
	}
}

func TestTellsHowFar(t *testing.T) {
	x := exporter(t, oneFile("a", strings.Repeat("1", 1000)))
	for f, least := range map[Format]int64{OCIArchive: x.Size(OCIArchive), DockerArchive: 1000, Rootfs: 1000} {
		var told int64
		x.Each = func(n int64) { told += n }
		if err := x.Write(t.Context(), f, io.Discard); err != nil {
			t.Fatal(err)
		}
		if told < least {
			t.Errorf("%s told of %d bytes, want at least %d", f, told, least)
		}
	}
}
