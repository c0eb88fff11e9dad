package host

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"brickyard/internal/store"

	"golang.org/x/sys/unix"
)

// ReapCommand is the hidden command that Reap is run by.
const ReapCommand = "run-reap"

// A reapOrder says what to clean up after whom. The first comes as soon as there is a
// directory; a second, empty one brings Init's pidfd.
type reapOrder struct {
	Home   string // the store's
	Dir    string // the instance's
	Cgroup string
}

// A reapReport says how cleaning up went.
type reapReport struct {
	Err string `json:",omitempty"`
}

// Reap cleans up after an instance, whether that ends or brickyard is killed: it waits until brickyard has
// closed its end of the control socket, sees that Init, and with it all of the instance, is dead, and takes
// away the directory and the control groups. It returns an exit code.
func Reap() int {
	signal.Ignore() // all that can be: it ends when there is nothing left to clean
	ctl, err := openControl(controlFD)
	if err != nil {
		fmt.Fprintln(os.Stderr, "brickyard:", ReapCommand, "is for brickyard itself:", err)
		return 1
	}
	var order reapOrder
	if _, err := ctl.receive(&order); err != nil {
		return 0 // there is nothing to clean up
	}
	pidfd, err := ctl.receive(&reapOrder{})
	if err == nil {
		ctl.receive(&reapOrder{}) // blocks until the command has ended: io.EOF
	}
	err = awaitEnd(pidfd)
	err = errors.Join(err, cleanUp(order.Dir, order.Cgroup))
	report := reapReport{}
	if err != nil {
		report.Err = err.Error()
	}
	if ctl.send(report, nil) == nil {
		return 0
	}
	// Brickyard was killed, and the lock of the directory with it: whatever else is left of it goes too.
	if _, err := store.Open(order.Home); err != nil {
		return 1
	}
	return 0
}

// awaitEnd kills what pidfd stands for and waits until it is dead: a pidfd can be read when a process
// has ended, and the first one of a PID namespace ends after all others in it.
func awaitEnd(pidfd *os.File) error {
	if pidfd == nil {
		return nil // Init was never started, or has had no order
	}
	defer pidfd.Close()
	fd := int(pidfd.Fd())
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}

// cleanUp takes away what an instance that is dead has left. It may be called again.
func cleanUp(dir, cgroup string) error {
	return errors.Join(removeCgroup(cgroup), os.RemoveAll(dir))
}
