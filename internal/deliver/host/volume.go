package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"brickyard/internal/store"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A VolumeMap puts a directory of this machine, or a named volume, at a path of an instance.
type VolumeMap struct {
	Source   string // an absolute path, or the name of a volume
	Path     string // in the instance, absolute and clean
	ReadOnly bool
}

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// ParseVolume reads NAME_OR_PATH:PATH[:ro].
func ParseVolume(s string) (VolumeMap, error) {
	f := strings.Split(s, ":")
	v := VolumeMap{Source: f[0]}
	if len(f) == 3 && (f[2] == "ro" || f[2] == "rw") {
		v.ReadOnly = f[2] == "ro"
		f = f[:2]
	}
	switch {
	case len(f) != 2:
		return v, fmt.Errorf("volume %q: not NAME:PATH, NAME:PATH:ro or the same with an absolute path for the name", s)
	case !path.IsAbs(f[1]) || path.Clean(f[1]) == "/":
		return v, fmt.Errorf("volume %q: %q is no absolute path below the instance's root", s, f[1])
	case !path.IsAbs(v.Source) && !volumeName.MatchString(v.Source):
		return v, hinted("write ./"+v.Source+" for a directory", "volume %q: %q is neither an absolute path nor a name", s, v.Source)
	}
	v.Path = path.Clean(f[1])
	return v, nil
}

// checkVolumes refuses two volumes at one path, and what is not there.
func checkVolumes(vs []VolumeMap) error {
	seen := map[string]bool{}
	for _, v := range vs {
		if seen[v.Path] {
			return fmt.Errorf("two volumes at %s", v.Path)
		}
		seen[v.Path] = true
		if !path.IsAbs(v.Source) {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			return &hintError{fmt.Errorf("volume at %s: %w", v.Path, err), "make it first, or give a bare name for a volume that brickyard keeps"}
		}
	}
	return nil
}

// mountVolumes makes what the instance's volumes need and returns their mounts: the given ones, and a
// fresh directory below dir for each of the state paths that has none.
func mountVolumes(ctx context.Context, st *store.Store, root *imageRoot, dir string, vs []VolumeMap, state []string) ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, v := range vs {
		source := v.Source
		if !path.IsAbs(source) {
			var err error
			if source, err = namedVolume(ctx, st, root, v); err != nil {
				return nil, fmt.Errorf("volume %s: %w", v.Source, err)
			}
		}
		mode := "rw"
		if v.ReadOnly {
			mode = "ro"
		}
		mounts = append(mounts, bind(source, v.Path, "rbind", "rprivate", mode))
	}
	for i, p := range state {
		fresh := filepath.Join(dir, fmt.Sprintf("state-%d", i))
		if err := fill(ctx, root, p, fresh); err != nil {
			return nil, fmt.Errorf("state %s: %w", p, err)
		}
		mounts = append(mounts, bind(fresh, p, "rbind", "rprivate", "rw"))
	}
	return mounts, nil
}

func bind(source, dest string, options ...string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: dest, Options: options}
}

// namedVolume returns the directory of a named volume. On first use it is filled with what the image has
// at the path; from then on it is the user's, and never touched.
func namedVolume(ctx context.Context, st *store.Store, root *imageRoot, v VolumeMap) (string, error) {
	dir := filepath.Join(st.Dir(), "volumes", v.Source)
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	unlock, err := st.Lock(ctx, "volume-"+v.Source, nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, release, err := st.TempDir("volume")
	if err != nil {
		return "", err
	}
	filled := filepath.Join(tmp, "content")
	err = fill(ctx, root, v.Path, filled)
	if err == nil {
		err = os.Rename(filled, dir)
	}
	return dir, errors.Join(err, release())
}

// fill makes dst a copy of what the image has at the path p: a directory with all in it, or an empty one
// when the image has none.
func fill(ctx context.Context, root *imageRoot, p, dst string) error {
	src, err := root.place(p)
	if missing(err) {
		return os.Mkdir(dst, 0o755)
	}
	if err != nil {
		return err
	}
	if fi, err := os.Lstat(src); err != nil || fi.Mode().Type() != fs.ModeDir {
		return errors.Join(err, fmt.Errorf("%s is not a directory in the image", p))
	}
	return copyTree(ctx, src, dst)
}

// uncovered returns the paths that no volume is at or above.
func uncovered(paths []string, vs []VolumeMap) []string {
	var rest []string
next:
	for _, p := range paths {
		for _, v := range vs {
			if within(p, v.Path) {
				continue next
			}
		}
		rest = append(rest, p)
	}
	return rest
}
