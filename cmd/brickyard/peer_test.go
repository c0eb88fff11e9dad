package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brickyard/internal/catalog/index"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/cli"
	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The tests of this file hand exported images to the programs that people use. A program that is missing
// fails its test. TestPeerDocker needs a daemon that "docker" finds, TestPeerPodman and the ownership that
// TestPeerUmoci compares need root.

// peerImage makes an image with all types of files and returns what is in it.
func peerImage(t *testing.T) (home string, r index.Record, root tree.Tree) {
	t.Helper()
	home = t.TempDir()
	s, err := store.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, r, _, err = indextest.Web(s); err != nil {
		t.Fatal(err)
	}
	if root, err = index.New(s).Root(r); err != nil {
		t.Fatal(err)
	}
	return home, r, root
}

// export runs "brickyard export web:1.0" and returns the archive.
func export(t *testing.T, home string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.tar")
	var stderr bytes.Buffer
	env := &cli.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr, Getenv: os.Getenv, UID: os.Getuid()}
	if code := cli.Main(t.Context(), env, append([]string{"--home", home, "export", "web:1.0", "--to", file}, args...)); code != 0 {
		t.Fatalf("export: exit code %d: %s", code, &stderr)
	}
	return file
}

// peer runs a program of somebody else's and returns what it prints.
func peer(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// scan reads the directory dir as a tree with contents.
func scan(t *testing.T, dir string) tree.Tree {
	t.Helper()
	got := tree.Tree{}
	err := tree.Scan(dir, func(p string, e *tree.Entry) error {
		if e.Type == tree.Regular {
			data, err := os.ReadFile(filepath.Join(dir, p))
			if err != nil {
				return err
			}
			e.Digest = store.Sum(data)
		}
		got[p] = *e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// has checks that all of want is in got: contents, and with ownership also modes, owners and attributes.
func has(t *testing.T, got, want tree.Tree, ownership bool) {
	t.Helper()
	for _, ch := range tree.Compare(want, got) {
		switch {
		case ch.Kind == tree.Added:
		case ch.Kind == tree.Meta && !ownership:
		default:
			t.Errorf("%s: %s: got %+v, want %+v", ch.Path, ch.Kind, ch.New, ch.Old)
		}
	}
	if want, first := want["srv/www/start.html"].Hard, got["srv/www/start.html"].Hard; want != first {
		t.Errorf("srv/www/start.html is another name of %q, want %q", first, want)
	}
}

func TestPeerSkopeo(t *testing.T) {
	home, r, _ := peerImage(t)
	dir := t.TempDir()

	// The OCI archive comes out with the digests that it went in with.
	archive := export(t, home)
	if got := peer(t, "skopeo", "inspect", "--format", "{{.Digest}}", "oci-archive:"+archive); got != string(r.Image) {
		t.Errorf("skopeo sees the image %s, want %s", got, r.Image)
	}
	peer(t, "skopeo", "copy", "oci-archive:"+archive+":1.0", "oci:"+dir+"/oci:copy")
	for _, d := range []tree.Digest{r.Image, r.Config, r.Layers[0].Digest, r.Layers[4].Digest} {
		if _, err := os.Stat(filepath.Join(dir, "oci/blobs/sha256", d.Hex())); err != nil {
			t.Errorf("copied by skopeo: %v", err)
		}
	}

	// The Docker archive has the same configuration and the same content of layers.
	archive = export(t, home, "--format", "docker-archive")
	peer(t, "skopeo", "copy", "docker-archive:"+archive+":web:1.0", "dir:"+dir+"/dir")
	data, err := os.ReadFile(filepath.Join(dir, "dir/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if got := tree.Digest(m.Config.Digest); got != r.Config {
		t.Errorf("configuration %s, want %s", got, r.Config)
	}
	for i, l := range m.Layers {
		if got := tree.Digest(l.Digest); got != r.Layers[i].DiffID {
			t.Errorf("layer %d is %s, want %s", i, got, r.Layers[i].DiffID)
		}
	}
}

func TestPeerUmoci(t *testing.T) {
	home, _, root := peerImage(t)
	dir := t.TempDir()
	peer(t, "tar", "-xf", export(t, home), "-C", dir)
	args := []string{"unpack", "--image", dir + ":1.0"}
	asRoot := os.Getuid() == 0
	if !asRoot {
		args = append(args, "--rootless")
		for p, e := range root {
			if e.Type == tree.Char || e.Type == tree.Fifo {
				delete(root, p) // only root may make them
			}
		}
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	peer(t, "umoci", append(args, bundle)...)
	got := scan(t, bundle+"/rootfs")
	for p, e := range got {
		for name := range e.Xattrs {
			if strings.HasPrefix(name, "user.") {
				delete(e.Xattrs, name) // umoci notes there what a rootless user may not do
			}
		}
		if len(e.Xattrs) == 0 {
			e.Xattrs = nil
		}
		got[p] = e
	}
	has(t, got, root, asRoot)
}

func TestPeerPodman(t *testing.T) {
	home, r, root := peerImage(t)
	state := t.TempDir()
	podman := func(args ...string) string {
		return peer(t, "podman", append([]string{"--root", state + "/root", "--runroot", state + "/run", "--storage-driver", "vfs"}, args...)...)
	}
	for _, format := range []string{"oci-archive", "docker-archive"} {
		t.Run(format, func(t *testing.T) {
			podman("load", "-i", export(t, home, "--format", format))
			if got := podman("image", "inspect", "--format", "sha256:{{.Id}}", "localhost/web:1.0"); got != string(r.Config) {
				t.Errorf("podman has the image %s, want %s", got, r.Config)
			}
			if format == "oci-archive" {
				if got := podman("image", "inspect", "--format", "{{.Digest}}", "localhost/web:1.0"); got != string(r.Image) {
					t.Errorf("podman has the digest %s, want %s", got, r.Image)
				}
			}
			dir := podman("image", "mount", "localhost/web:1.0")
			has(t, scan(t, dir), root, true)
			podman("image", "umount", "localhost/web:1.0")
			podman("rmi", "localhost/web:1.0")
		})
	}
}

func TestPeerDocker(t *testing.T) {
	home, r, root := peerImage(t)
	const name = "brickyard/peer-test:1.0"
	peer(t, "docker", "load", "-i", export(t, home, "--format", "docker-archive", "--name", name))
	t.Cleanup(func() { exec.Command("docker", "rmi", name).Run() })
	if got := peer(t, "docker", "image", "inspect", "--format", "{{.Id}}", name); got != string(r.Config) {
		t.Errorf("docker has the image %s, want %s", got, r.Config)
	}
	container := peer(t, "docker", "create", name)
	tar := filepath.Join(t.TempDir(), "root.tar")
	peer(t, "docker", "export", "-o", tar, container)
	peer(t, "docker", "rm", container)
	has(t, readTar(t, tar), root, true)
}

func TestPeerTar(t *testing.T) {
	home, _, root := peerImage(t)
	archive := export(t, home, "--format", "rootfs")
	has(t, readTar(t, archive), root, true)
	if os.Getuid() != 0 {
		t.Log("not root: only the listing was compared")
		return
	}
	dir := t.TempDir()
	peer(t, "tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", dir)
	has(t, scan(t, dir), root, true)
}

func readTar(t *testing.T, file string) tree.Tree {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := tarball.Read(f, tarball.Limits{}, func(_ string, e *tree.Entry, r io.Reader) error {
		h := sha256.New()
		_, err := io.Copy(h, r)
		e.Digest = tree.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestExportIsTheSameEveryTime(t *testing.T) {
	home, _, _ := peerImage(t)
	for _, format := range []string{"oci-archive", "docker-archive", "rootfs"} {
		other, _, _ := peerImage(t)
		a, errA := os.ReadFile(export(t, home, "--format", format))
		b, errB := os.ReadFile(export(t, other, "--format", format))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s: two exports differ", format)
		}
	}
}

func TestExportMode(t *testing.T) {
	home, _, _ := peerImage(t)
	fi, err := os.Stat(export(t, home))
	if err != nil {
		t.Fatal(err)
	}
	ref := filepath.Join(t.TempDir(), "ref")
	if err := os.WriteFile(ref, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(ref)
	if err != nil {
		t.Fatal(err)
	}
	if got := fi.Mode() & fs.ModePerm; got != want.Mode()&fs.ModePerm {
		t.Errorf("the archive has mode %v, want that of the umask, %v", got, want.Mode())
	}
}
