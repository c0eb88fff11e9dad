package index_test

import (
	"errors"
	"regexp"
	"testing"

	"brickyard/internal/catalog/index"
)

// A manifest that is taken names only digests, and no size below nothing; all else is refused with the error that says so.
func FuzzParseManifest(f *testing.F) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, seed := range []string{
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digest + `","size":2},"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"` + digest + `","size":3}]}`,
		`{"schemaVersion":2,"artifactType":"a/b","config":{"digest":"` + digest + `"},"subject":{"digest":"` + digest + `"}}`,
		`{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":-1}}`,
		`{"schemaVersion":1}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "application/vnd.oci.image.manifest.v1+json")
	}
	form := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	f.Fuzz(func(t *testing.T, data []byte, media string) {
		m, err := index.ParseManifest(data, media)
		if err != nil {
			if _, ok := errors.AsType[*index.InvalidManifestError](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if (m.Config == nil) == (m.Manifests == nil) && m.Config != nil {
			t.Errorf("an image and an index: %+v", m)
		}
		for _, d := range m.All() {
			if !form.MatchString(string(d.Digest)) || d.Size < 0 {
				t.Errorf("names %q of %d bytes", d.Digest, d.Size)
			}
		}
	})
}
