package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A stopper passes signals on to an instance and sees to it that it ends when it has to: the first signal
// that asks for an end comes to the instance as the image's stop signal, the second as SIGKILL, and so
// does the end of patience.
type stopper struct {
	stopSignal syscall.Signal
	patience   time.Duration // 0: DefaultStopTimeout
	init       *os.Process

	started bool // Init has reported; before that, signals wait in pending
	pending []syscall.Signal
	asked   bool // to end, by a signal
	timer   *time.Timer
	killed  bool
	err     error // of Init's end
}

// signal handles one that brickyard got.
func (s *stopper) signal(sig syscall.Signal) {
	switch {
	case !asksForEnd(sig):
		s.pass(sig)
	case s.asked:
		s.kill()
	default:
		s.asked = true
		s.stop()
	}
}

// stop asks the instance to end.
func (s *stopper) stop() {
	if s.timer == nil {
		s.timer = time.NewTimer(cmp.Or(s.patience, DefaultStopTimeout))
		s.pass(s.stopSignal)
	}
}

func (s *stopper) pass(sig syscall.Signal) {
	if !s.started {
		s.pending = append(s.pending, sig)
		return
	}
	_ = s.init.Signal(sig) // it may have ended
}

// start passes on what had to wait.
func (s *stopper) start() {
	s.started = true
	for _, sig := range s.pending {
		s.pass(sig)
	}
	s.pending = nil
}

// kill ends Init and all with it.
func (s *stopper) kill() {
	s.killed = true
	_ = s.init.Kill() // it may have ended
}

// timeout tells when patience is over.
func (s *stopper) timeout() <-chan time.Time {
	if s.timer == nil {
		return nil
	}
	return s.timer.C
}

// ended takes note of Init's end.
func (s *stopper) ended(err error) {
	s.err = err
	if s.timer != nil {
		s.timer.Stop()
	}
}

// outcome is how the instance ended, by the last that Init reported.
func (s *stopper) outcome(last initReport) (int, error) {
	switch {
	case last.Ended:
		return last.Code, nil
	case last.Err != "" && last.Hint != "":
		return 0, &hintError{errors.New(last.Err), last.Hint}
	case last.Err != "":
		return 0, errors.New(last.Err)
	case s.killed:
		return 128 + int(syscall.SIGKILL), nil
	case s.err == nil:
		return 0, fmt.Errorf("%s ended without a word", InitCommand)
	}
	return 0, fmt.Errorf("%s: %w", InitCommand, s.err)
}
