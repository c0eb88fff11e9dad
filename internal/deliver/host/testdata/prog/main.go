// Prog is the program in the images that the tests run. Its first argument says what to do.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "prog:", err)
		os.Exit(9)
	}
}

func run(what string, args []string) error {
	switch what {
	case "exit":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		os.Exit(code)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "env":
		_, err := fmt.Println(strings.Join(os.Environ(), "\n"))
		return err
	case "id":
		return printID()
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "read":
		data, err := os.ReadFile(args[0])
		os.Stdout.Write(data)
		return err
	case "write":
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "ls":
		return list(args[0])
	case "trap":
		return trap(args)
	case "wait":
		return wait()
	case "stubborn":
		return stubborn()
	case "tcp":
		return serveTCP(args[0])
	case "udp":
		return serveUDP(args[0])
	case "say-and-exit":
		return sayAndExit(args[0])
	case "tty":
		return terminal()
	case "syscalls":
		return syscalls()
	}
	return fmt.Errorf("what is %q?", what)
}

func printID() error {
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	fmt.Println(os.Getuid(), os.Getgid(), groups, dir, host)
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "CapEff") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Seccomp:") {
			fmt.Print(line)
		}
	}
	return nil
}

func list(dir string) error {
	return filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		fmt.Println(p, fi.Mode(), st.Uid, st.Gid)
		return nil
	})
}

// trap prints the names of the signals it gets, and exits with 7 at the first that args name.
func trap(args []string) error {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch)
	fmt.Println("ready")
	for sig := range ch {
		if sig == syscall.SIGURG || sig == syscall.SIGCHLD {
			continue
		}
		fmt.Println(sig)
		if len(args) > 0 && sig.String() == args[0] {
			os.Exit(7)
		}
	}
	return nil
}

// wait waits for ever, and does nothing about signals, as a C program would be: the handlers that Go
// installs are taken away.
func wait() error {
	var none [32]byte // struct sigaction with SIG_DFL
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR2} {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0); errno != 0 {
			return errno
		}
	}
	fmt.Println("ready")
	for {
		syscall.Pause()
	}
}

// stubborn ignores all it can, and so do its children, one of which is in a session of its own.
func stubborn() error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if len(os.Args) == 2 {
		for _, setsid := range []bool{false, true} {
			cmd := exec.Command("/proc/self/exe", "stubborn", "child")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: setsid}
			cmd.Stdout = os.Stdout
			if err := cmd.Start(); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	for {
		syscall.Pause()
	}
}

// serveTCP sends back what it gets, on 127.0.0.1 or the address in addr, and then "end", so that a client
// sees whether its half-close came through.
func serveTCP(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
			io.WriteString(c, "end")
		}()
	}
}

func serveUDP(addr string) error {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		c.WriteTo(buf[:n], from)
	}
}

// sayAndExit gives its first client a megabyte and ends at once.
func sayAndExit(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = c.Write(make([]byte, 1<<20))
	c.Close()
	return err
}

// terminal prints the size of its terminal, once at the start and then whenever it changes, until a line
// comes in.
func terminal() error {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, syscall.SIGWINCH)
	size := func() error {
		var ws [4]uint16
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&ws))); errno != 0 {
			return errno
		}
		fmt.Printf("size %dx%d\n", ws[1], ws[0])
		return nil
	}
	if err := size(); err != nil {
		return err
	}
	line := make(chan string)
	go func() {
		buf := make([]byte, 100)
		n, _ := os.Stdin.Read(buf)
		line <- string(buf[:n])
	}()
	for {
		select {
		case <-ch:
			if err := size(); err != nil {
				return err
			}
		case l := <-line:
			fmt.Printf("line %q\n", l)
			return nil
		}
	}
}

// syscalls tries what an instance may not do, and prints what became of it.
func syscalls() error {
	_, _, errno := syscall.Syscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0)
	fmt.Println("unshare:", errno)
	_, _, errno = syscall.Syscall(syscall.SYS_MOUNT, 0, 0, 0)
	fmt.Println("mount:", errno)
	cmd := exec.Command("/proc/self/exe", "exit", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	fmt.Println("clone:", cmd.Run())
	fmt.Println("mknod:", syscall.Mknod("/disk", syscall.S_IFBLK|0o600, 8<<8))
	f, err := os.Open("/disk")
	if err == nil {
		f.Close()
	}
	fmt.Println("open disk:", err)
	_, err = os.ReadDir("/sys/firmware")
	fmt.Println("sys:", err)
	fmt.Println("proc:", os.WriteFile("/proc/sys/kernel/panic", []byte("1"), 0))
	return nil
}
