package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A netns makes sockets in the network namespace of an instance. A socket stays in the namespace that it
// was made in, so one thread inside is enough for any number of connections.
type netns struct {
	requests chan socketRequest
	done     sync.WaitGroup
}

type socketRequest struct {
	family, kind int
	reply        chan<- socketReply
}

type socketReply struct {
	fd  int
	err error
}

// enterNetns starts the thread; file, which is closed, is the namespace. The caller must call leave.
func enterNetns(file *os.File) (*netns, error) {
	n := &netns{requests: make(chan socketRequest)}
	entered := make(chan error)
	n.done.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and never runs another
		err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		file.Close()
		entered <- err
		if err != nil {
			return
		}
		for r := range n.requests {
			fd, err := unix.Socket(r.family, r.kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			r.reply <- socketReply{fd, err}
		}
	})
	if err := <-entered; err != nil {
		n.done.Wait()
		return nil, fmt.Errorf("enter the instance's network: %w", err)
	}
	return n, nil
}

// leave ends the thread. No dial may be under way.
func (n *netns) leave() {
	close(n.requests)
	n.done.Wait()
}

// dialTimeout is how long a service has to take a connection from its queue: as long as it would take a
// client to notice that a first and a second packet were dropped.
const dialTimeout = 5 * time.Second

// dial connects to a port of the instance, kind SOCK_STREAM or SOCK_DGRAM, on 127.0.0.1 and, when nothing
// listens there, on ::1.
func (n *netns) dial(kind int, port uint16) (net.Conn, error) {
	c, err := n.connect(unix.AF_INET, kind, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.ECONNREFUSED) {
		if c6, err6 := n.connect(unix.AF_INET6, kind, &unix.SockaddrInet6{Port: int(port), Addr: [16]byte{15: 1}}); err6 == nil {
			return c6, nil
		}
	}
	return c, err
}

func (n *netns) connect(family, kind int, to unix.Sockaddr) (net.Conn, error) {
	reply := make(chan socketReply, 1)
	n.requests <- socketRequest{family, kind, reply}
	got := <-reply
	if got.err != nil {
		return nil, os.NewSyscallError("socket", got.err)
	}
	f := os.NewFile(uintptr(got.fd), "instance")
	defer f.Close() // net.FileConn has a descriptor of its own
	err := unix.Connect(got.fd, to)
	if err == unix.EINPROGRESS {
		err = connected(f)
	}
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// connected waits for the end of a connect that is under way.
func connected(f *os.File) error {
	if err := f.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, 0); n == 0 || err != nil {
			return false
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = err
		case errno != 0:
			result = syscall.Errno(errno)
		}
		return true
	})
	return errors.Join(err, result)
}
