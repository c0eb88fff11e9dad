package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The first and the last real-time signal, as the GNU C library counts them (signal(7)).
const (
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads the name or number of a signal: SIGTERM, TERM, 15, SIGRTMIN+3 (image-spec,
// config.md, StopSignal). "" is SIGTERM.
func ParseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return syscall.SIGTERM, nil
	}
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && n >= 1 && n <= sigRTMax {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	for prefix, base := range map[string]int{"SIGRTMIN": sigRTMin, "SIGRTMAX": sigRTMax} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			n := 0
			if rest != "" {
				var err error
				if n, err = strconv.Atoi(rest); err != nil {
					break
				}
			}
			if sig := base + n; sig >= sigRTMin && sig <= sigRTMax {
				return syscall.Signal(sig), nil
			}
		}
	}
	return 0, fmt.Errorf("no signal is called %q", s)
}

// PassedOn are the signals that a running instance is meant to get when brickyard gets them. Those that
// ask for an end come as the image's stop signal.
func PassedOn() []os.Signal {
	sigs := []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, // ask for an end
		syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGALRM,
	}
	return append(sigs, realtime()...)
}

func realtime() []os.Signal {
	var sigs []os.Signal
	for n := sigRTMin; n <= sigRTMax; n++ {
		sigs = append(sigs, syscall.Signal(n))
	}
	return sigs
}

// asksForEnd says whether a signal to brickyard means that the instance is to end.
func asksForEnd(sig os.Signal) bool {
	return sig == syscall.SIGINT || sig == syscall.SIGTERM || sig == syscall.SIGHUP
}

// endsByDefault says whether a signal ends a process that does nothing about it (signal(7)).
func endsByDefault(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGURG, syscall.SIGWINCH:
		return false
	}
	return true
}

// mindsSignal says whether a process has done something about a signal: it catches, ignores or blocks it.
// status is its /proc/PID/status (proc_pid_status(5)).
//
// The first process of a PID namespace never gets a signal that it does nothing about (pid_namespaces(7)),
// so who sends it one must know. What is still the runtime's own process does not count: its handlers are
// gone as soon as the program is there.
func mindsSignal(status string, sig syscall.Signal) bool {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		if key == "Name" && strings.HasPrefix(strings.TrimSpace(value), "runc:[") {
			return false
		}
		if key != "SigBlk" && key != "SigIgn" && key != "SigCgt" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || mask&(1<<(sig-1)) != 0 {
			return true
		}
	}
	return false
}
