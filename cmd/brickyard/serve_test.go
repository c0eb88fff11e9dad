package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// An image goes from a recipe over serve to another tool and back, with its digest; and serve ends when it is asked to.
func TestServe(t *testing.T) {
	t.Parallel()
	b := newBakery(t, testArchive().Server(t), pinnedFiles())
	b.must(t, "lock", "recipe.yaml")
	digest := b.bake(t, "-t", "shop:1")
	token := strings.TrimSpace(b.must(t, "user", "add", "ci", "--role", "push"))
	notes, err := filepath.Glob(filepath.Join(b.home, "notes/user/*/ci"))
	if err != nil || len(notes) != 1 {
		t.Fatal(notes, err)
	}
	if data, err := os.ReadFile(notes[0]); err != nil || strings.Contains(string(data), token) {
		t.Errorf("the token is kept: %s, %v", data, err)
	}
	serve := b.command(t.Context(), "serve", "--listen", "127.0.0.1:0")
	stderr, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	at := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || at == "" {
		t.Fatalf("it says %q, %v", line, err)
	}
	dir := t.TempDir()
	creds := "ci:" + token
	peer(t, "skopeo", "copy", "--src-tls-verify=false", "--src-creds", creds, "docker://"+at+"/shop:1", "oci:"+dir+"/oci:1")
	peer(t, "skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", creds, "oci:"+dir+"/oci:1", "docker://"+at+"/team/copy:2")
	if got := peer(t, "skopeo", "inspect", "--tls-verify=false", "--creds", creds, "--format", "{{.Digest}}", "docker://"+at+"/team/copy:2"); got != digest {
		t.Errorf("it came back as %s, want %s", got, digest)
	}
	if got := b.must(t, "images", "team/copy:2", "--json"); !strings.Contains(got, digest) {
		t.Errorf("images: %s", got)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil && serve.ProcessState.ExitCode() != 0 {
		t.Errorf("serve ends with %v", err)
	}
	for _, args := range [][]string{{"serve", "--listen", "0.0.0.0:0"}, {"serve", "--listen", ":0"}, {"serve", "--listen", "nonsense"}} {
		if o := b.run(t, args...); o.code != 1 || !strings.Contains(o.stderr, "hint: ") {
			t.Errorf("%v: %d %s", args, o.code, o.stderr)
		}
	}
}
