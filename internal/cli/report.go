package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes. Numbers are added, never changed.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDrift       = 10
	exitChecks      = 11
	exitOutdated    = 12
	exitUntrusted   = 13
	exitNotRun      = 125 // as docker and podman have it
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `Exit codes:

    0   done
    1   failed; stderr says why
    2   not a valid command line
   10   drift: what is there is not what was delivered
   11   checks failed
   12   outdated: the archive has something newer
   13   not trusted: content, signature or policy
  125   run: brickyard itself failed, the command did not
  130   interrupted by a signal

"brickyard run" exits with the code of the command it ran; 126 and 127 mean that this command can't be run or is not there.
Codes of 10 and more are answers for scripts, not failures.`,
	}
}

// An exitCode ends the program with its number and without a message: the answer was printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
func (e exitCode) ExitCode() int { return int(e) }

// An exitError is an error with an exit code other than 1.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) ExitCode() int { return e.code }

// A usageError means that a command was called in a way that it does not know.
type usageError struct {
	command string // as "brickyard images"
	err     error
	hint    string // "": that of err, or to see the command's help
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string {
	inner := ""
	if h, ok := errors.AsType[hinter](e.err); ok {
		inner = h.Hint()
	}
	return cmp.Or(e.hint, inner, "see: "+e.command+" --help")
}
func (e *usageError) ExitCode() int { return exitUsage }

// A hintedError is an error that the user can do something about.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }
func (e *hintedError) Hint() string  { return e.hint }

type coder interface {
	error
	ExitCode() int
}

type hinter interface {
	error
	Hint() string
}

// report prints err and returns the exit code that it stands for.
func (env *Env) report(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	code := exitFailed
	if c, ok := errors.AsType[coder](err); ok {
		code = c.ExitCode()
	}
	if _, ok := errors.AsType[exitCode](err); ok {
		return code
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return code // whoever read the output has seen enough
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(env.Stderr, "brickyard: interrupted")
		return exitInterrupted
	case ctx.Err() != nil:
		fmt.Fprintf(env.Stderr, "brickyard: interrupted: %v\n", err)
		return exitInterrupted
	}
	fmt.Fprintf(env.Stderr, "%s %s\n", env.paint(env.ErrTTY, red, "brickyard:"), env.text(err))
	for line := range strings.Lines(env.hint(err)) {
		fmt.Fprintf(env.Stderr, "%s %s\n", env.paint(env.ErrTTY, bold, "hint:"), strings.TrimSuffix(line, "\n"))
	}
	return code
}

// hint says what to do about err, "" when there is nothing to say; several lines are several hints.
func (env *Env) hint(err error) string {
	if h, ok := errors.AsType[hinter](err); ok && h.Hint() != "" {
		return h.Hint()
	}
	path, ok := failedPath(err)
	if !ok {
		return ""
	}
	home, atHome := env.inHome(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		if atHome {
			return fmt.Sprintf("make room where %[1]s is, or name another home with --home; %[1]s/indexes may be deleted, and %[1]s/roots while nothing runs", home)
		}
		return "make room where " + path + " is"
	case errors.Is(err, syscall.EROFS) && atHome:
		return "name another home with --home, or have the file system of this one mounted to be written to"
	case errors.Is(err, fs.ErrPermission) && atHome:
		return "this home is another user's, or parts of it are: call as that user, or name a home of your own with --home"
	}
	return ""
}

// text is what err says, without the names of files that are there only while something is written, and without what
// a terminal would take for more than text: names come from archives and images, too.
func (env *Env) text(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		text = strings.ReplaceAll(text, e.Error(), (&fs.PathError{Op: "write", Path: e.New, Err: e.Err}).Error())
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		if home, in := env.inHome(e.Path); in && strings.HasPrefix(e.Path, home+"/tmp/") {
			text = strings.ReplaceAll(text, e.Path, home)
		}
	}
	return printable(text)
}

// failedPath is the file that could not be read or written.
func failedPath(err error) (string, bool) {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Path, true
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.New, true
	}
	return "", false
}

// inHome says whether a file is in the home, and what that is as an absolute path.
func (env *Env) inHome(path string) (home string, in bool) {
	home, err := filepath.Abs(env.home)
	if err != nil || env.home == "" {
		return "", false
	}
	return home, path == home || strings.HasPrefix(path, home+"/")
}

// Select Graphic Rendition parameters (ECMA-48, 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours text when it goes to a terminal and the user has not set NO_COLOR (no-color.org).
func (env *Env) paint(tty bool, sgr, text string) string {
	if !tty || text == "" || env.Getenv("NO_COLOR") != "" || env.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}
