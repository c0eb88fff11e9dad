package host

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// firstID and countIDs are a range of users and groups that nobody else has, as newuidmap would give it.
const (
	firstID  = 2_000_000
	countIDs = 65536
)

// What an ordinary user has: root of a user namespace, without control groups and devices. The user's
// namespace is made by this test, which is root, as newuidmap(1) and newgidmap(1) make it.
func TestUserNamespace(t *testing.T) {
	l := newLab(t)
	prog := l.image.Root + "/bin/prog" // is a hard link
	must(t, os.Remove(prog))
	must(t, copyFile(progFile, prog))
	must(t, os.Chmod(prog, 0o755))
	must(t, os.Chmod(filepath.Dir(l.home), 0o755))
	must(t, filepath.WalkDir(l.home, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		must(t, syscall.Lstat(p, &st))
		if st.Uid >= firstID { // another name of a file that was met before
			return nil
		}
		return os.Lchown(p, int(st.Uid)+firstID, int(st.Gid)+firstID)
	}))
	for _, tt := range []struct {
		name string
		spec runSpec
		args []string
		out  string
		code int
	}{
		{"root", runSpec{}, []string{"write", "/data/page", "x"}, "", 0},
		{"user", runSpec{User: "web"}, []string{"read", "/data/page"}, "from the image", 0},
		{"exit code", runSpec{}, []string{"exit", "42"}, "", 42},
		{"host's network", runSpec{Net: NetHost}, []string{"exit", "43"}, "", 43},
		{"terminal", runSpec{TTY: true, User: "web"}, []string{"exit", "44"}, "", 44},
		{"published port", runSpec{Publish: []PortMap{{Container: 80, Proto: "tcp"}}}, []string{"exit", "45"}, "", 45},
		{"volume", runSpec{Volumes: []VolumeMap{{Source: "v", Path: "/data"}}, User: "web"}, []string{"write", "/data/page", "x"}, "", 0},
		{"limit", runSpec{Memory: 1 << 20}, []string{"exit", "0"}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := l.in(t).prepare(tt.spec, tt.args...)
			ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstID, Size: countIDs}}
			c.cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
				Credential: &syscall.Credential{},
			}
			must(t, c.cmd.Start())
			must(t, c.stdin.Close())
			out, err := io.ReadAll(c.out)
			must(t, err)
			if code := c.wait(); code != tt.code || string(out) != tt.out {
				t.Errorf("got %q and code %d, want %q and %d; stderr: %s", out, code, tt.out, tt.code, c.stderr)
			}
		})
	}
}
