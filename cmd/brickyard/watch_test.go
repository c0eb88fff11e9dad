package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bakeStages are the stages of a bake that -v tells of, in their order; some overlap.
var bakeStages = []string{"fetch", "unpack", "configure", "layers", "run"}

// A watch is a bake under observation: it is started with -v, and what that says tells where it is.
type watch struct {
	cmd    *exec.Cmd
	notes  string // of bakes: when there is one more than before, the image counts
	before int    // notes
	ended  chan struct{}
	err    error                    // of the process, when it has ended
	spans  map[string]time.Duration // how long each stage took; "" is all of it
	tick   func(stage string)       // called each millisecond while until waits; may be nil

	mu     sync.Mutex // guards what is below
	text   bytes.Buffer
	line   []byte
	active []string
	last   string   // that began
	done   []string // the lines that end stages, without the time
}

var (
	stageBegins = regexp.MustCompile(`^(fetch|unpack|configure|layers|run)…$`)
	stageEnds   = regexp.MustCompile(`^(fetch|unpack|configure|layers|run) +[0-9.]+ (?:s|ms|min) +(.*)$`)
)

// watch starts the program.
func (b *bakery) watch(t *testing.T, args ...string) *watch {
	t.Helper()
	w := &watch{cmd: b.command(t.Context(), args...), notes: filepath.Join(b.home, "notes", "bake"), ended: make(chan struct{}), spans: map[string]time.Duration{}}
	w.before = w.bakes()
	w.cmd.Stderr = w
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		w.err = w.cmd.Wait()
		close(w.ended)
	}()
	return w
}

// bakes is how many bakes are noted.
func (w *watch) bakes() int {
	notes, _ := filepath.Glob(w.notes + "/*/*") // the only error is a bad pattern
	return len(notes)
}

// Write takes in what the program says.
func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	w.line = append(w.line, p...)
	for {
		line, rest, whole := bytes.Cut(w.line, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.line = rest
		if m := stageBegins.FindSubmatch(line); m != nil {
			w.last = string(m[1])
			w.active = append(w.active, w.last)
		} else if m := stageEnds.FindSubmatch(line); m != nil {
			if i := slices.Index(w.active, string(m[1])); i >= 0 {
				w.active = slices.Delete(w.active, i, i+1)
			}
			w.done = append(w.done, string(m[1])+" "+string(m[2]))
		}
	}
}

// stderr is what the program has said.
func (w *watch) stderr() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// stage is where the bake is: the first of the stages under way, or the one that has just ended; "start" before all, "image"
// after the steps of run, while the recipe's layer, manifest and notes are written, and "record" once the image counts.
func (w *watch) stage() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range bakeStages {
		if slices.Contains(w.active, s) {
			return s
		}
	}
	if w.bakes() > w.before {
		return "record"
	}
	switch {
	case w.last == "":
		return "start"
	case w.last == "run":
		return "image"
	}
	return w.last
}

// until waits until the bake is where is says, or has ended.
func (w *watch) until(is func(stage string) bool) {
	start := time.Now()
	last := start
	for {
		stage, now := w.stage(), time.Now()
		w.spans[stage] += now.Sub(last)
		w.spans[""] = now.Sub(start)
		last = now
		if w.tick != nil {
			w.tick(stage)
		}
		if is(stage) {
			return
		}
		select {
		case <-w.ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// sleep waits for d, or until the bake has ended.
func (w *watch) sleep(d time.Duration) {
	select {
	case <-w.ended:
	case <-time.After(d):
	}
}

// kill kills the bake with SIGKILL, waits for its end, and returns where it was.
func (w *watch) kill() (stage string) {
	stage = w.stage()
	w.cmd.Process.Kill()
	<-w.ended
	return stage
}

// killed says whether the program has ended by SIGKILL: one that ended by itself a moment before has not.
func (w *watch) killed() bool {
	status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// brokenOff is the first stage that did not end as it does in a whole bake, in which the stages ended as in whole.
// It is "image" when all did.
func (w *watch) brokenOff(whole []string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := func(lines []string, stage string) (out []string) {
		for _, l := range lines {
			if len(l) > len(stage) && l[:len(stage)+1] == stage+" " {
				out = append(out, l)
			}
		}
		return out
	}
	for _, s := range bakeStages {
		if !slices.Equal(ends(w.done, s), ends(whole, s)) {
			if s == "fetch" && w.last == "" {
				return "start"
			}
			return s
		}
	}
	return "image"
}
