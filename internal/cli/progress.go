package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// A unit is what a stage of progress counts.
type unit int

// The units of stages.
const (
	unitItems unit = iota
	unitBytes
)

func (u unit) format(n int64) string {
	if u == unitBytes {
		return size(n)
	}
	return fmt.Sprint(n)
}

// redraw is the shortest time between two drawings of the bars: more often is only flicker.
const redraw = 100 * time.Millisecond

// A progress shows on stderr how far a long command is: bars on a terminal, a line for each finished
// stage elsewhere, nothing with -q. Its methods may be called from several goroutines.
type progress struct {
	w             io.Writer
	bars, verbose bool

	mu     sync.Mutex // guards all below
	active []*stage
	drawn  int // lines on the screen that the next drawing replaces
	last   time.Time
}

// A stage is one part of a long command. On a nil stage all methods do nothing.
type stage struct {
	p     *progress
	name  string
	total int64 // 0: not known
	unit  unit
	start time.Time

	n int64 // guarded by p.mu
}

// progress returns the command's one progress.
func (env *Env) progress() *progress {
	if env.bars == nil {
		env.bars = &progress{
			w:       env.Stderr,
			bars:    env.ErrTTY && env.Getenv("TERM") != "dumb",
			verbose: env.verbose,
		}
		if env.quiet {
			env.bars.w, env.bars.bars = io.Discard, false
		}
	}
	return env.bars
}

// Stage starts one; several may run at a time. total is 0 when it is not known.
func (p *progress) Stage(name string, total int64, u unit) *stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &stage{p: p, name: name, total: total, unit: u, start: time.Now()}
	p.active = append(p.active, s)
	if p.verbose && !p.bars {
		fmt.Fprintf(p.w, "%s…\n", name)
	}
	p.draw(s.start)
	return s
}

// Add says that n more bytes or items are done.
func (s *stage) Add(n int64) {
	if s == nil {
		return
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.n += n
	if now := time.Now(); now.Sub(s.p.last) >= redraw {
		s.p.draw(now)
	}
}

// Done ends the stage. It may be called twice.
func (s *stage) Done() {
	if s == nil {
		return
	}
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.active, s)
	if i < 0 {
		return
	}
	p.active = slices.Delete(p.active, i, i+1)
	p.erase()
	now := time.Now()
	if p.verbose || now.Sub(s.start) >= redraw { // what nobody could see needs no line
		fmt.Fprintln(p.w, s.summary(now))
	}
	p.draw(now)
}

// print shows text that ends in a newline above the bars.
func (p *progress) print(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	io.WriteString(p.w, text)
	p.draw(time.Now())
}

// stop takes the bars of stages that did not end off the screen.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = nil
	p.erase()
}

// erase takes the bars off the screen (ECMA-48: CUU, ED).
func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) draw(now time.Time) {
	if !p.bars {
		return
	}
	p.erase()
	for _, s := range p.active {
		fmt.Fprintln(p.w, s.bar(now))
	}
	p.drawn = len(p.active)
	p.last = now
}

// barWidth is in columns: a line with name, figures, rate and time left fits in 80 of them.
const barWidth = 24

func (s *stage) bar(now time.Time) string {
	if s.total <= 0 {
		return fmt.Sprintf("%-12s %s  %s", s.name, s.unit.format(s.n), span(now.Sub(s.start)))
	}
	part := min(1, float64(s.n)/float64(s.total))
	full := int(part * barWidth)
	line := fmt.Sprintf("%-12s %s%s %3d %%", s.name, strings.Repeat("━", full), strings.Repeat("·", barWidth-full), int(part*100))
	seconds := now.Sub(s.start).Seconds()
	if s.n > 0 && seconds > 1 {
		rate := float64(s.n) / seconds
		if s.unit == unitBytes {
			line += fmt.Sprintf("  %s/s", size(int64(rate)))
		}
		left := time.Duration(float64(s.total-s.n) / rate * float64(time.Second))
		line += fmt.Sprintf("  %s left", span(max(0, left)))
	}
	return line
}

func (s *stage) summary(now time.Time) string {
	line := fmt.Sprintf("%-12s %s", s.name, span(now.Sub(s.start)))
	if s.n > 0 {
		line += "  " + s.unit.format(s.n)
	}
	return line
}
