package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// stdio connects the main process with standard input, output and error of Init, which are the user's.
//
// They are handed on as they are where that does no harm. Where the instance's user is another than the
// owner, the runtime would give the files to that user, and so a log file or a terminal would change
// hands: then there is a pipe between.
type stdio struct {
	listener *net.UnixListener // for the terminal; nil when there is none
	terminal *os.File
	files    [3]*os.File // what the child gets
	own      []*os.File  // those of them to close when the child has them
	inputs   []func()    // copy to the child: started, and never waited for
	outputs  []func()    // copy from the child: waited for
	copying  sync.WaitGroup

	keys chan syscall.Signal // for which the user has pressed a key, if the instance's terminal minds keys
}

// endOfFile is what a terminal takes for the end of input (termios(3), VEOF).
const endOfFile = 4

// open makes what the runtime needs. The main process will run as uid.
func (s *stdio) open(terminal bool, uid uint32) error {
	if terminal {
		return s.openTerminal()
	}
	for i, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if mayChangeHands(f, uid) {
			s.files[i] = f
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if i == 0 {
			s.give(i, r)
			s.inputs = append(s.inputs, func() {
				_, _ = io.Copy(w, f) // a program need not read all its input
				w.Close()
			})
			continue
		}
		s.give(i, w)
		s.outputs = append(s.outputs, func() {
			_, _ = io.Copy(f, r)
			r.Close() // so that a program whose reader is gone gets SIGPIPE, as usual
		})
	}
	return nil
}

func (s *stdio) give(i int, f *os.File) {
	s.files[i] = f
	s.own = append(s.own, f)
}

// mayChangeHands says whether a file may be given to uid: it is theirs already, or a pipe or socket that
// has no name, or is shared by everybody as /dev/null is.
func mayChangeHands(f *os.File, uid uint32) bool {
	var st, null unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Fstatfs(int(f.Fd()), &fs) != nil || unix.Stat(os.DevNull, &null) != nil {
		return false
	}
	isNull := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null.Rdev
	return st.Uid == uid || isNull || fs.Type == unix.PIPEFS_MAGIC || fs.Type == unix.SOCKFS_MAGIC
}

func (s *stdio) openTerminal() error {
	var err error
	if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: consoleSock}); err != nil {
		return fmt.Errorf("socket for the terminal: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for i := range s.files {
		s.files[i] = null
	}
	s.own = append(s.own, null)
	return nil
}

// child returns the descriptors that the child gets.
func (s *stdio) child() []uintptr {
	var fds []uintptr
	for _, f := range s.files {
		fds = append(fds, f.Fd())
	}
	return fds
}

// closeChild closes what only the child needs.
func (s *stdio) closeChild() {
	for _, f := range s.own {
		f.Close()
	}
}

// attach starts to copy, when the runtime is done.
func (s *stdio) attach() error {
	if s.listener != nil {
		if err := s.receiveTerminal(); err != nil {
			return err
		}
	}
	for _, f := range s.inputs {
		go f() // ends with the process at the latest: a read from a terminal can't be called off
	}
	for _, f := range s.outputs {
		s.copying.Go(f)
	}
	return nil
}

// receiveTerminal takes the terminal's master from the runtime, which has sent it.
func (s *stdio) receiveTerminal() error {
	conn, err := s.listener.AcceptUnix()
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer conn.Close()
	name, rights := make([]byte, unix.PathMax), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(name, rights)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	if s.terminal, err = receivedFile(rights[:n]); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	s.resize()
	s.keys = make(chan syscall.Signal, 1)
	s.inputs = append(s.inputs, s.typeInput)
	s.outputs = append(s.outputs, func() {
		_, _ = io.Copy(os.Stdout, s.terminal) // ends with EIO when the last process has closed the terminal
	})
	return nil
}

// typeInput passes the user's input on to the terminal, and its end.
func (s *stdio) typeInput() {
	buf := make([]byte, 4096)
	for {
		n, err := os.Stdin.Read(buf)
		if n > 0 {
			if _, err := s.terminal.Write(buf[:n]); err != nil {
				return
			}
			s.noticeKeys(buf[:n])
		}
		if err != nil {
			_, _ = s.terminal.Write([]byte{endOfFile})
			return
		}
	}
}

// noticeKeys tells of keys that the instance's terminal makes a signal of (termios(3), ISIG). The
// terminal sends the signal itself; but the first process of a PID namespace may never see it.
func (s *stdio) noticeKeys(typed []byte) {
	tio, err := unix.IoctlGetTermios(int(s.terminal.Fd()), unix.TCGETS)
	if err != nil || tio.Lflag&unix.ISIG == 0 {
		return
	}
	for key, sig := range map[uint8]syscall.Signal{tio.Cc[unix.VINTR]: syscall.SIGINT, tio.Cc[unix.VQUIT]: syscall.SIGQUIT} {
		if key != 0 && bytes.IndexByte(typed, key) >= 0 {
			select {
			case s.keys <- sig:
			default: // one is on its way
			}
		}
	}
}

// inForeground says whether the process group of pid is the one that keys are for.
func (s *stdio) inForeground(pid int) bool {
	group, err := unix.IoctlGetInt(int(s.terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == pid
}

// resize gives the instance's terminal the size of the user's.
func (s *stdio) resize() {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			_ = unix.IoctlSetWinsize(int(s.terminal.Fd()), unix.TIOCSWINSZ, size)
			return
		}
	}
}

// drain waits until all that the instance has written is passed on. The instance has ended.
func (s *stdio) drain() { s.copying.Wait() }

func (s *stdio) close() error {
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	if s.terminal != nil {
		err = errors.Join(err, s.terminal.Close())
	}
	return err
}
