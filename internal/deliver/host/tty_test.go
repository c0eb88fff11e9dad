package host

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openTerminal makes a pseudoterminal (pts(4)).
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// With a terminal: the instance has one of its own, with the size of the user's; changes of the size and
// keys come through; and the user's terminal is afterwards what it was.
func TestTerminal(t *testing.T) {
	l := newLab(t)
	master, slave := openTerminal(t)
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 100, Row: 40}))
	before, err := term.GetState(int(slave.Fd()))
	must(t, err)
	cmd := l.prepare(runSpec{TTY: true, User: "900"}, "tty").cmd
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	screen := bufio.NewReader(master)
	expect := func(want string) {
		t.Helper()
		if got, err := screen.ReadString('\n'); strings.TrimSpace(got) != want || err != nil {
			t.Errorf("screen: got %q, %v; want %q", got, err, want)
		}
	}
	expect("size 100x40")
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 25}))
	expect("size 80x25")
	_, err = master.WriteString("abc\r")
	must(t, err)
	expect("abc") // the echo
	expect(`line "abc\n"`)
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v", err)
	}
	after, err := term.GetState(int(slave.Fd()))
	must(t, err)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the terminal was %v and is %v", before, after)
	}
	l.nothingLeft()
}

// Ctrl-C goes to the instance's terminal, and ends even what does nothing about it.
func TestTerminalInterrupt(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"wait"}, 130},
		{[]string{"trap", "interrupt"}, 7},
	} {
		master, slave := openTerminal(t)
		cmd := l.prepare(runSpec{TTY: true}, tt.args...).cmd
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		must(t, cmd.Start())
		screen := bufio.NewReader(master)
		if got, err := screen.ReadString('\n'); got != "ready\r\n" || err != nil {
			t.Fatalf("screen: got %q, %v", got, err)
		}
		_, err := master.WriteString("\x03")
		must(t, err)
		_ = cmd.Wait()
		if got := exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)); got != tt.want {
			t.Errorf("%q: exit code %d, want %d", tt.args, got, tt.want)
		}
	}
	l.nothingLeft()
}

// A terminal for the instance without one of the user's: input from a file ends.
func TestTerminalWithoutTerminal(t *testing.T) {
	l := newLab(t)
	got := l.run(Options{TTY: true, Term: "vt100", Stdin: strings.NewReader("hello\n")}, "cat")
	if want := "hello\r\nhello\r\n"; got.out != want || got.code != 0 {
		t.Errorf("got %+v, want %q", got, want)
	}
	if got := l.run(Options{TTY: true, Term: "vt100"}, "env"); !strings.Contains(got.out, "TERM=vt100\r\n") {
		t.Errorf("got %+v", got)
	}
}
