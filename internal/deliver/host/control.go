package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxMessage bounds what goes over a control socket at once, in bytes.
const maxMessage = 64 << 10

// A control is one end of a socket between two of our processes. It sends JSON, a packet a message, and
// a file with it if need be. That the other end is gone is how each learns of the other's death.
type control struct {
	*net.UnixConn
}

// controlPair makes both ends; the second is for a child to inherit.
func controlPair() (*control, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	ours, err := openControl(fds[0])
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// openControl takes over the descriptor fd.
func openControl(fd int) (*control, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close() // net.FileConn has a descriptor of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("control socket: not a Unix socket")
	}
	return &control{c}, nil
}

// send sends v, and file unless it is nil.
func (c *control) send(v any, file *os.File) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	_, _, err = c.WriteMsgUnix(data, rights, nil)
	return err
}

// receive reads what send sent into v; file is nil when none came. Errors: io.EOF when the other end is gone.
func (c *control) receive(v any) (file *os.File, err error) {
	data, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := c.ReadMsgUnix(data, rights)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF
	}
	if err != nil {
		return nil, err
	}
	if rn > 0 {
		if file, err = receivedFile(rights[:rn]); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(data[:n], v); err != nil {
		if file != nil {
			file.Close()
		}
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return file, nil
}

// receivedFile takes a file out of a control message (unix(7), SCM_RIGHTS).
func receivedFile(rights []byte) (*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(msgs) != 1 {
		return nil, errors.Join(errors.New("control socket: no file"), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("control socket: no file"), err)
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}
