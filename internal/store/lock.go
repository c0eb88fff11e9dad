package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a waiting Lock looks again: flock(2) can't be told of a context.
const lockPoll = 50 * time.Millisecond

// Lock takes the lock called name for this process alone, waiting until ctx is done. wait, if not nil,
// is called once when another holds it. The kernel gives the lock up when the process ends.
func (s *Store) Lock(ctx context.Context, name string, wait func()) (unlock func() error, err error) {
	f, err := os.OpenFile(s.path("locks", name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if wait != nil {
			wait()
			wait = nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// tmpAge is how old a temporary file without an owner's lock must be before sweep takes it away: far
// longer than it takes to write one.
const tmpAge = 24 * time.Hour

// lockSuffix follows the name of a directory in tmp that a process works in.
const lockSuffix = ".lock"

// sweep takes away what processes that were killed have left in tmp: directories whose lock nobody
// holds, and files to which nothing was done for tmpAge. That is told by ctime: mtime is that of the file to be, years ago.
func (s *Store) sweep(now time.Time) error {
	des, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return err
	}
	for _, de := range des {
		p := s.path("tmp", de.Name())
		if strings.HasSuffix(p, lockSuffix) {
			sweepDir(p)
			continue
		}
		var st unix.Stat_t
		if unix.Lstat(p, &st) == nil && now.Sub(time.Unix(st.Ctim.Unix())) > tmpAge {
			if _, err := os.Lstat(p + lockSuffix); errors.Is(err, fs.ErrNotExist) {
				removeTree(p) // or the next one does
			}
		}
	}
	return nil
}

// sweepDir takes away the directory of a lock that nobody holds. What can't be taken away stays, with its
// lock, for another process: files of other users in a home of an ordinary user need a user namespace.
func sweepDir(lock string) {
	f, err := os.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		return // gone, or another user's
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return // somebody is at work there
	}
	if removeTree(strings.TrimSuffix(lock, lockSuffix)) == nil {
		os.Remove(lock)
	}
}
