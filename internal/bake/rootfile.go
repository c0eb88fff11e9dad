package bake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"

	"golang.org/x/sys/unix"
)

// CheckRootfs says whether the tarball that the recipe begins with, if any, is the one that was locked. now is the
// time that its own times are held against.
//
// Errors: *StaleLockError when it is another one.
func CheckRootfs(s *store.Store, r *recipe.Recipe, lock *recipe.Lock, now time.Time) error {
	sum, err := rootfsSum(s, r, now)
	if err == nil && sum != lock.Rootfs {
		err = &StaleLockError{Recipe: r.Path, Why: r.From.Rootfs + " has changed"}
	}
	return err
}

// rootfsSum is the sha256 of the recipe's tarball, 64 hex digits, or "" when it has none.
func rootfsSum(s *store.Store, r *recipe.Recipe, now time.Time) (string, error) {
	if r.From.Rootfs == "" {
		return "", nil
	}
	sum, err := fileSum(s, filepath.Join(r.Dir, r.From.Rootfs), now)
	if err == nil && sum == store.Sum(nil).Hex() {
		err = fmt.Errorf("%s: %s is empty, and so no tar archive", r.Path, r.From.Rootfs)
	}
	return sum, err
}

// kindSeen notes are seenFiles, by the sha256 of the file's absolute path.
const kindSeen = "seen"

// A seenFile is a file of this machine as it was when it was hashed.
type seenFile struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   int64  `json:"size"`  // bytes
	MTime  int64  `json:"mtime"` // both in ns since 1970
	CTime  int64  `json:"ctime"`
	SHA256 string `json:"sha256"` // 64 hex digits
}

// settled is how long ago a file must have changed for its digest to be remembered. A second change within one tick
// of the kernel's clock leaves the times as they are, and so does one through a mapped page until that was written to
// disk, which is after half a minute (vm.dirty_expire_centisecs).
const settled = 2 * time.Minute

// fileSum is the sha256 of the file at path, 64 hex digits. A large file takes seconds to read, so what its digest
// was is remembered, and believed as long as everything the kernel tells of the file is as it was.
func fileSum(s *store.Store, path string, now time.Time) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	before, err := statFile(f)
	if err != nil {
		return "", err
	}
	key := store.Sum([]byte(path)).Hex()
	var seen seenFile
	if err := s.Cached(kindSeen, key, &seen); err == nil {
		sum := seen.SHA256
		if seen.SHA256 = ""; seen == before {
			return sum, nil
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	after, err := statFile(f)
	if err != nil || after != before || now.Sub(time.Unix(0, after.CTime)) < settled {
		return sum, err
	}
	after.SHA256 = sum
	return sum, s.Remember(kindSeen, key, after)
}

// statFile is what the kernel tells of a file, without its digest.
func statFile(f *os.File) (seenFile, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return seenFile{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return seenFile{Device: st.Dev, Inode: st.Ino, Size: st.Size, MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano()}, nil
}
