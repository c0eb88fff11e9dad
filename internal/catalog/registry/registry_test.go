package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// a bench is a registry that somebody serves.
type bench struct {
	*testing.T
	store  *store.Store
	reg    *Registry
	server *httptest.Server
	token  map[Role]string // of the user with the role's name
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: s, reg: &Registry{Store: s, Catalog: index.New(s), Now: time.Now}, token: map[Role]string{}}
	t.Cleanup(func() {
		if err := b.reg.Catalog.Close(); err != nil {
			t.Error(err)
		}
	})
	b.server = httptest.NewServer(b.reg.Handler())
	t.Cleanup(b.server.Close)
	for _, r := range roles {
		if b.token[r], err = AddUser(s, string(r), r, "test", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// ask makes a request as a user, "" for nobody, and returns the answer's status, header and body.
func (b *bench) ask(as Role, method, path string, header http.Header, body []byte) (int, http.Header, string) {
	b.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.server.URL + path
	}
	req, err := http.NewRequestWithContext(b.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if as != "" {
		req.SetBasicAuth(string(as), b.token[as])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res.StatusCode, res.Header, string(data)
}

// must is ask for an answer that must have the status.
func (b *bench) must(want int, as Role, method, path string, header http.Header, body []byte) (http.Header, string) {
	b.Helper()
	status, h, text := b.ask(as, method, path, header, body)
	if status != want {
		b.Fatalf("%s %s as %q: %d, want %d: %s", method, path, as, status, want, text)
	}
	return h, text
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// push puts a blob into a repository.
func (b *bench) push(repo string, data []byte) string {
	b.Helper()
	d := digestOf(data)
	b.must(http.StatusCreated, Push, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, nil, data)
	return d
}

// image pushes an image with one layer and returns its digest.
func (b *bench) image(repo, tag, content string) string {
	b.Helper()
	layer := b.push(repo, []byte(content))
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["` + layer + `"]}}`)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}]}`,
		ociManifest, b.push(repo, config), len(config), layer, len(content))
	b.must(http.StatusCreated, Push, "PUT", "/v2/"+repo+"/manifests/"+tag, mediaType(ociManifest), manifest)
	return digestOf(manifest)
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

func mediaType(s string) http.Header { return http.Header{"Content-Type": {s}} }

// The specification's own suite has no failure in any of its four groups.
func TestConformance(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "suite")
	build := exec.Command("go", "test", "-C", "../../../tools/conformance", "-c", "-o", suite, "github.com/opencontainers/distribution-spec/conformance")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := newBench(t)
	cmd := exec.Command(suite)
	cmd.Dir = t.TempDir() // it writes reports
	cmd.Env = append(os.Environ(), "OCI_ROOT_URL="+b.server.URL, "OCI_NAMESPACE=team/repo", "OCI_CROSSMOUNT_NAMESPACE=team/other",
		"OCI_USERNAME=admin", "OCI_PASSWORD="+b.token[Admin], "OCI_AUTOMATIC_CROSSMOUNT=0",
		"OCI_TEST_PULL=1", "OCI_TEST_PUSH=1", "OCI_TEST_CONTENT_DISCOVERY=1", "OCI_TEST_CONTENT_MANAGEMENT=1")
	out, err := cmd.CombinedOutput()
	if counts := regexp.MustCompile(`(\d+) Passed.*?(\d+) Failed`).FindSubmatch(out); err != nil || counts == nil || len(counts[1]) < 2 {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Nobody gets in without a name and token, and nobody does more than the role says.
func TestRoles(t *testing.T) {
	b := newBench(t)
	d := b.image("web", "1.0", "content")
	for _, tt := range []struct {
		method, path string
		need         Role
	}{
		{"GET", "/v2/", Pull}, {"GET", "/v2/_catalog", Pull}, {"GET", "/v2/web/tags/list", Pull}, {"HEAD", "/v2/web/manifests/1.0", Pull},
		{"GET", "/v2/web/blobs/" + digestOf([]byte("content")), Pull}, {"GET", "/v2/web/referrers/" + d, Pull},
		{"POST", "/v2/web/blobs/uploads/", Push}, {"PUT", "/v2/web/manifests/2.0", Push},
		{"DELETE", "/v2/web/manifests/1.0", Admin}, {"DELETE", "/v2/web/blobs/" + digestOf([]byte("content")), Admin},
	} {
		if status, h, _ := b.ask("", tt.method, tt.path, nil, nil); status != http.StatusUnauthorized || h.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s as nobody: %d", tt.method, tt.path, status)
		}
		for _, r := range roles {
			status, _, text := b.ask(r, tt.method, tt.path, nil, nil)
			if refused := status == http.StatusForbidden || status == http.StatusUnauthorized; refused == r.allows(tt.need) {
				t.Errorf("%s %s as %s: %d %s, it takes %s", tt.method, tt.path, r, status, text, tt.need)
			}
		}
	}
	if err := RemoveUser(b.store, "pull"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := b.ask(Pull, "GET", "/v2/", nil, nil); status != http.StatusUnauthorized {
		t.Errorf("who was taken away gets %d", status)
	}
	b.token[Push] = b.token[Admin]
	if status, _, _ := b.ask(Push, "GET", "/v2/", nil, nil); status != http.StatusUnauthorized {
		t.Errorf("with another one's token: %d", status)
	}
	if _, err := AddUser(b.store, "../x", Pull, "", time.Now()); err == nil {
		t.Error("a user with the name ../x is made")
	}
}

// An upload that is cut at any byte can be gone on with from there, and gives the blob.
func TestUploadCutAnywhere(t *testing.T) {
	b := newBench(t)
	data := []byte("the bytes of a small blob, cut at each of them")
	d := digestOf(data)
	for cut := range len(data) + 1 {
		h, _ := b.must(http.StatusAccepted, Push, "POST", "/v2/web/blobs/uploads/", nil, nil)
		at := b.server.URL + h.Get("Location")
		if cut > 0 {
			b.must(http.StatusAccepted, Push, "PATCH", at, http.Header{"Content-Range": {fmt.Sprintf("0-%d", cut-1)}}, data[:cut])
		}
		h, _ = b.must(http.StatusNoContent, Push, "GET", at, nil, nil)
		if want := fmt.Sprintf("0-%d", max(0, cut-1)); h.Get("Range") != want {
			t.Errorf("cut at %d: Range %s, want %s", cut, h.Get("Range"), want)
		}
		if cut < len(data) {
			b.must(http.StatusAccepted, Push, "PATCH", at, http.Header{"Content-Range": {fmt.Sprintf("%d-%d", cut, len(data)-1)}}, data[cut:])
		}
		b.must(http.StatusCreated, Push, "PUT", at+"?digest="+d, nil, nil)
		if _, got := b.must(http.StatusOK, Pull, "GET", "/v2/web/blobs/"+d, nil, nil); got != string(data) {
			t.Fatalf("cut at %d: got %q", cut, got)
		}
		b.must(http.StatusAccepted, Admin, "DELETE", "/v2/web/blobs/"+d, nil, nil)
	}
}

// What is not as it says it is is refused, and nothing of it stays.
func TestBadPushes(t *testing.T) {
	b := newBench(t)
	config := b.push("web", []byte(`{}`))
	manifest := func(config, layer string, size int) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}]}`, config, layer, size)
	}
	none := digestOf([]byte("nowhere"))
	for _, tt := range []struct {
		name         string
		method, path string
		media        string
		body         []byte
		want         int
		says         string
	}{
		{"another digest", "POST", "/v2/web/blobs/uploads/?digest=" + none, "", []byte("x"), 400, "DIGEST_INVALID"},
		{"no digest", "POST", "/v2/web/blobs/uploads/?digest=sha256:../../x", "", []byte("x"), 400, "DIGEST_INVALID"},
		{"an upload that is none", "PATCH", "/v2/web/blobs/uploads/Li4vLi4vLi4veA", "", []byte("x"), 404, "BLOB_UPLOAD_UNKNOWN"},
		{"a bad name", "POST", "/v2/Web/blobs/uploads/", "", nil, 400, "NAME_INVALID"},
		{"no JSON", "PUT", "/v2/web/manifests/1", ociManifest, []byte("{"), 400, "MANIFEST_INVALID"},
		{"no manifest", "PUT", "/v2/web/manifests/1", ociManifest, []byte(`{"schemaVersion":1}`), 400, "schema version 1"},
		{"an unknown type", "PUT", "/v2/web/manifests/1", "text/plain", manifest(config, config, 2), 400, "MANIFEST_INVALID"},
		{"two types", "PUT", "/v2/web/manifests/1", ociManifest, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), 400, "MANIFEST_INVALID"},
		{"a layer that is not there", "PUT", "/v2/web/manifests/1", ociManifest, manifest(config, none, 7), 404, "MANIFEST_BLOB_UNKNOWN"},
		{"a lying size", "PUT", "/v2/web/manifests/1", ociManifest, manifest(config, config, 3), 400, "SIZE_INVALID"},
		{"a path for a digest", "PUT", "/v2/web/manifests/1", ociManifest, manifest(config, "sha256:../../../etc/passwd", 3), 400, "MANIFEST_INVALID"},
		{"a manifest of 5 MB", "PUT", "/v2/web/manifests/1", ociManifest, bytes.Repeat([]byte(" "), 5<<20), 400, "SIZE_INVALID"},
		{"another digest of a manifest", "PUT", "/v2/web/manifests/" + none, ociManifest, manifest(config, config, 2), 400, "DIGEST_INVALID"},
	} {
		status, _, text := b.ask(Push, tt.method, tt.path, mediaType(tt.media), tt.body)
		if status != tt.want || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, text, tt.want, tt.says)
		}
	}
	if _, text := b.must(http.StatusOK, Pull, "GET", "/v2/_catalog", nil, nil); strings.Contains(text, "web") {
		t.Errorf("there is a repository: %s", text)
	}
	images, damaged, err := b.reg.Catalog.Images(index.Filter{})
	if err != nil || len(images)+len(damaged) > 0 {
		t.Errorf("images %v, %v, %v", images, damaged, err)
	}
}

// A pushed image is one of the catalogue, and goes when no repository has it any more; one that is made of the same blobs stays.
func TestPushedImage(t *testing.T) {
	b := newBench(t)
	d := b.image("web", "1.0", "content")
	if again := b.image("copy", "1.0", "content"); again != d {
		t.Fatalf("%s, then %s", d, again)
	}
	r, err := b.reg.Catalog.Lookup("web:1.0")
	if err != nil || r.Origin != index.OriginPushed || r.By != "push" || r.Name != "web" || len(r.Layers) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	b.must(http.StatusMethodNotAllowed, Admin, "DELETE", "/v2/web/blobs/"+string(r.Config), nil, nil)
	b.must(http.StatusAccepted, Admin, "DELETE", "/v2/web/manifests/"+d, nil, nil)
	b.must(http.StatusNotFound, Pull, "GET", "/v2/web/manifests/1.0", nil, nil)
	b.must(http.StatusOK, Pull, "GET", "/v2/copy/manifests/"+d, nil, nil)
	b.must(http.StatusAccepted, Admin, "DELETE", "/v2/copy/manifests/"+d, nil, nil)
	if b.reg.Catalog.Has(tree.Digest(d)) {
		t.Error("the image is still there")
	}
	b.must(http.StatusAccepted, Admin, "DELETE", "/v2/web/blobs/"+string(r.Config), nil, nil)
}

// A damaged blob is never served as whole: it is put aside, and can be pushed again.
func TestDamagedBlob(t *testing.T) {
	b := newBench(t)
	data := bytes.Repeat([]byte("brick"), 100_000)
	d := b.push("web", data)
	if err := os.WriteFile(b.store.BlobPath(tree.Digest(d)), append(data[1:], 'x'), 0o644); err != nil {
		t.Fatal(err)
	}
	b.must(http.StatusNotFound, Pull, "GET", "/v2/web/blobs/"+d, http.Header{"Range": {"bytes=5-9"}}, nil)
	b.must(http.StatusNotFound, Pull, "GET", "/v2/web/blobs/"+d, nil, nil)
	b.push("web", data)
	if _, got := b.must(http.StatusPartialContent, Pull, "GET", "/v2/web/blobs/"+d, http.Header{"Range": {"bytes=5-9"}}, nil); got != "brick" {
		t.Errorf("bytes 5 to 9: %q", got)
	}
}

// What refers to a manifest is found by it, by type.
func TestReferrers(t *testing.T) {
	b := newBench(t)
	d := b.image("web", "1.0", "content")
	empty := b.push("web", []byte("{}"))
	for _, kind := range []string{"application/spdx+json", "application/vnd.in-toto+json"} {
		m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","artifactType":"%s","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2},"layers":[],"subject":{"mediaType":"%s","digest":"%s","size":1},"annotations":{"of":"%s"}}`, ociManifest, kind, empty, ociManifest, d, kind)
		h, _ := b.must(http.StatusCreated, Push, "PUT", "/v2/web/manifests/"+digestOf(m), mediaType(ociManifest), m)
		if h.Get("OCI-Subject") != d {
			t.Errorf("OCI-Subject: %s, want %s", h.Get("OCI-Subject"), d)
		}
	}
	for query, want := range map[string]int{"": 2, "?artifactType=application/spdx%2Bjson": 1, "?artifactType=none": 0} {
		_, text := b.must(http.StatusOK, Pull, "GET", "/v2/web/referrers/"+d+query, nil, nil)
		var got struct {
			Manifests []struct{ ArtifactType string }
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Manifests) != want {
			t.Errorf("referrers%s: %s, %v; want %d", query, text, err, want)
		}
	}
	b.must(http.StatusMethodNotAllowed, Admin, "DELETE", "/v2/web/blobs/"+empty, nil, nil)
}

// Many pushes of the same and of others at a time give all of them, whole.
func TestPushTogether(t *testing.T) {
	b := newBench(t)
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() { b.image(fmt.Sprint("team/app", i%3), fmt.Sprint("v", i), fmt.Sprint("content ", i%5)) })
	}
	group.Wait()
	for i := range 24 {
		b.must(http.StatusOK, Pull, "GET", fmt.Sprintf("/v2/team/app%d/manifests/v%d", i%3, i), nil, nil)
	}
	check, err := b.store.Verify(context.Background(), nil, nil)
	if err != nil || len(check.Faults) > 0 {
		t.Errorf("%+v, %v", check, err)
	}
}
