package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where control groups are mounted, in all three ways there are (cgroups(7)): version 2,
// version 1 with a directory a controller, and both.
const cgroupRoot = "/sys/fs/cgroup"

// A cgroupKind says what this process can do with control groups.
type cgroupKind int

const (
	noCgroups cgroupKind = iota // none, or none that may be written
	cgroupsV1
	cgroupsV2
)

// cgroups finds out. In a user namespace there are none: nobody has delegated any to it.
func cgroups(userNS bool) cgroupKind {
	var st unix.Statfs_t
	if userNS || unix.Statfs(cgroupRoot, &st) != nil {
		return noCgroups
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		if unix.Access(cgroupRoot, unix.W_OK) == nil {
			return cgroupsV2
		}
		return noCgroups
	}
	if unix.Statfs(cgroupRoot+"/devices", &st) == nil && st.Type == unix.CGROUP_SUPER_MAGIC &&
		unix.Access(cgroupRoot+"/devices", unix.W_OK) == nil {
		return cgroupsV1
	}
	return noCgroups
}

// cgroupPrefix begins the names of the control groups of all instances that have their directories in
// tmp; another home's instances have another.
func cgroupPrefix(tmp string) string {
	sum := sha256.Sum256([]byte(tmp))
	return "brickyard-" + hex.EncodeToString(sum[:4]) + "-"
}

// cgroupDirs returns where control groups with names that match pattern are.
func cgroupDirs(pattern string) []string {
	v2, _ := filepath.Glob(filepath.Join(cgroupRoot, pattern)) // the only error is a bad pattern
	v1, _ := filepath.Glob(filepath.Join(cgroupRoot, "*", pattern))
	dirs := append(v2, v1...)
	return slices.DeleteFunc(dirs, func(d string) bool {
		fi, err := os.Lstat(d)
		return err != nil || !fi.IsDir()
	})
}

// removeCgroup takes away the control groups called name, and those below them, in all hierarchies.
func removeCgroup(name string) error {
	var errs []error
	for _, dir := range cgroupDirs(name) {
		errs = append(errs, removeCgroupDir(dir))
	}
	return errors.Join(errs...)
}

// removeCgroupDir removes a control group from the leaves up. Its files are the kernel's and go with it.
func removeCgroupDir(dir string) error {
	des, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, de := range des {
		if de.IsDir() {
			err = errors.Join(err, removeCgroupDir(filepath.Join(dir, de.Name())))
		}
	}
	if rmErr := unix.Rmdir(dir); rmErr != nil && rmErr != unix.ENOENT {
		err = errors.Join(err, &fs.PathError{Op: "rmdir", Path: dir, Err: rmErr})
	}
	return err
}

// sweepCgroups takes away control groups of instances whose directories in tmp are gone: that happens
// when an instance and all that watches over it are killed at once. One that still holds a process stays.
func sweepCgroups(tmp string) {
	prefix := cgroupPrefix(tmp)
	for _, dir := range cgroupDirs(prefix + "*") {
		id := strings.TrimPrefix(filepath.Base(dir), prefix)
		if _, err := os.Lstat(filepath.Join(tmp, id+instanceSuffix)); errors.Is(err, fs.ErrNotExist) {
			_ = removeCgroupDir(dir) // what can't go yet is found again by the next sweep
		}
	}
}
