package host

import "fmt"

// A hintError is an error that the user can do something about.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

// hinted adds to a new error what can be done about it.
func hinted(hint, format string, a ...any) error {
	return &hintError{fmt.Errorf(format, a...), hint}
}

// A CommandError means that the command of an instance can't be run, as a shell would say it.
type CommandError struct {
	Command string
	Reason  string
	Code    int // 127 when there is no such command, 126 when there is, but nothing that runs
	hint    string
}

func (e *CommandError) Error() string { return fmt.Sprintf("command %q: %s", e.Command, e.Reason) }
func (e *CommandError) ExitCode() int { return e.Code }
func (e *CommandError) Hint() string  { return e.hint }
