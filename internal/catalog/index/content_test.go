package index_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.Bytes()
}

func zstandard(t *testing.T, s string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(s), nil)
}

func TestOpenLayer(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := index.New(s)
	for _, tt := range []struct {
		mediaType string
		blob      []byte
		ok        bool
	}{
		{ocispec.MediaTypeImageLayer, []byte("content"), true},
		{ocispec.MediaTypeImageLayerGzip, gzipped("content"), true},
		{ocispec.MediaTypeImageLayerZstd, zstandard(t, "content"), true},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped("content"), true},
		{ocispec.MediaTypeImageLayerGzip, []byte("content"), false},
		{ocispec.MediaTypeImageLayerGzip, gzipped("content")[:12], false},
		{ocispec.MediaTypeImageLayerZstd, gzipped("content"), false},
		{"text/plain", []byte("content"), false},
	} {
		d, size, err := s.Put(bytes.NewReader(tt.blob))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readLayer(c, ocispec.Descriptor{MediaType: tt.mediaType, Digest: digest.Digest(d), Size: size})
		if (err == nil) != tt.ok || tt.ok && got != "content" {
			t.Errorf("%s of %q: %q, %v, want ok %v", tt.mediaType, tt.blob, got, err, tt.ok)
		}
	}
}

// TestOpenLayerVerifiesWhatFollows: a blob with more after the compressed stream is another blob.
func TestOpenLayerVerifiesWhatFollows(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := zstandard(t, "content")
	d, _, err := s.Put(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WriteFile(s.BlobPath(d), append(good, zstandard(t, "")...), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = readLayer(index.New(s), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: digest.Digest(d)})
	if !errors.Is(err, store.ErrDigest) {
		t.Errorf("read: %v, want %v", err, store.ErrDigest)
	}
}

func readLayer(c *index.Catalog, desc ocispec.Descriptor) (string, error) {
	r, err := c.OpenLayer(desc)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}
