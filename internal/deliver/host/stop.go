package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A stopper passes signals on to a running instance and sees to it that it ends when it has to: the first
// signal that asks for an end comes to the instance as the image's stop signal, the second as SIGKILL, and
// so does the end of patience.
type stopper struct {
	stopSignal syscall.Signal
	patience   time.Duration // 0: DefaultStopTimeout
	init       *os.Process
	started    bool // Init has reported, so that it takes signals

	asked  bool // by a signal
	timer  *time.Timer
	killed syscall.Signal // Init was killed, and the exit code is to be that of this signal
	err    error          // of Init's end
}

// signal handles one that brickyard got.
func (s *stopper) signal(sig syscall.Signal) {
	switch {
	case !asksForEnd(sig):
		s.pass(sig)
	case s.asked:
		s.kill(syscall.SIGKILL)
	default:
		s.asked = true
		s.stop(sig)
	}
}

// stop asks the instance to end. One that has not started yet is killed as if by why: it has done nothing.
func (s *stopper) stop(why syscall.Signal) {
	if s.timer != nil {
		return
	}
	if !s.started {
		s.kill(why)
		return
	}
	s.timer = time.NewTimer(cmp.Or(s.patience, DefaultStopTimeout))
	s.pass(s.stopSignal)
}

func (s *stopper) pass(sig syscall.Signal) {
	if s.started {
		_ = s.init.Signal(sig) // it may have ended
	}
}

// kill ends Init and all with it.
func (s *stopper) kill(why syscall.Signal) {
	s.killed = cmp.Or(s.killed, why)
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
	case s.killed != 0:
		return 128 + int(s.killed), nil
	case s.err == nil:
		return 0, fmt.Errorf("%s ended without a word", InitCommand)
	}
	return 0, fmt.Errorf("%s: %w", InitCommand, s.err)
}
