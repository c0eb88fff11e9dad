package main

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// guests are the machines that images are baked on: a leap day that ends while they bake, the second after which 32 bits
// do not count any further, and a clock that lost the time and is behind all packages; each with another processor.
func guests() []guest {
	return []guest{
		{CPU: "Nehalem", Date: "2028-02-29T23:59:00", Host: "leap"},
		{CPU: "EPYC", Date: "2038-01-19T03:13:00", Host: "y2038.example"},
		{CPU: "Opteron_G3", Date: "2000-01-01T00:00:00", Host: "UPPER-case-0"},
	}
}

// A machineCase is an image to be baked on another machine, as on this one.
type machineCase struct {
	Name   string `json:"name"`
	Recipe string `json:"recipe"`
	Guest  guest  `json:"guest"`
}

// machineCases are images whose packages' scripts write keys, stores and names when they are configured, and the examples
// with just enough in them; and systemd, which is booted.
func machineCases(s *soak) ([]testCase, error) {
	var list []machineCase
	for _, name := range []string{"nginx", "openjdk-17-jre-headless", "postgresql", "postfix", "openssh-server"} {
		sub, err := subjectNamed(name)
		if err != nil {
			return nil, err
		}
		list = append(list, machineCase{Name: name, Recipe: sub.recipe()})
	}
	for _, name := range []string{"jeos-static", "jeos-program", "jeos-dpkg"} {
		text, err := os.ReadFile(filepath.Join("examples", name, "recipe.yaml"))
		if err != nil {
			return nil, err
		}
		list = append(list, machineCase{Name: name, Recipe: string(text)})
	}
	var cases []testCase
	for i, c := range list {
		c.Guest = guests()[i%len(guests())]
		cases = append(cases, testCase{c.Name, c, func() (any, bool, error) {
			f, err := s.bakeElsewhere(c)
			return f, err == nil && f.Problem == "" && f.Here == f.There, err
		}})
	}
	boot, err := bootCase(s)
	return append(cases, boot), err
}

// subjectNamed is one subject of the corpus.
func subjectNamed(name string) (subject, error) {
	all := subjects()
	i := slices.IndexFunc(all, func(sub subject) bool { return sub.name == name })
	if i < 0 {
		return subject{}, fmt.Errorf("the corpus has no %s", name)
	}
	return all[i], nil
}

// machineFound is what was found of a machineCase.
type machineFound struct {
	Packages int      `json:"packages"`
	Kernel   string   `json:"kernel"` // of the guest
	CPU      string   `json:"cpu"`
	Host     string   `json:"host"`
	Began    string   `json:"began"`   // by the guest's clock
	Ended    string   `json:"ended"`   //
	Seconds  int      `json:"seconds"` // of baking, by the guest's clock
	Here     string   `json:"here"`    // digest
	There    string   `json:"there"`
	Differ   []string `json:"differ,omitempty"`
	Problem  string   `json:"problem,omitempty"`
}

// bakeScript is /sbin/init of a guest that bakes. What it answers are lines of a name and a value.
const bakeScript = `#!/bin/busybox sh
export PATH=/bin HOME=/
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
stty -F /dev/ttyS1 raw
. /soak/guest
hostname "$host"
exec >/dev/ttyS1 </dev/null
echo "kernel $(uname -r)"
echo "host $(hostname)"
echo "cpu $(sed -n 's/^model name.*: //p' /proc/cpuinfo)"
echo "began $(date -u +%Y-%m-%dT%H:%M:%SZ)"
up=$(cut -d. -f1 /proc/uptime)
there=$(/soak/brickyard --home /soak/home --quiet bake --offline /soak/recipe/recipe.yaml) || echo "failed $?"
echo "seconds $(($(cut -d. -f1 /proc/uptime) - up))"
echo "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)"
echo "there $there"
if [ -n "$there" ] && [ "$there" != "$here" ]; then
	echo "files $(/soak/brickyard --home /soak/home files --json -R "$there" | gzip | base64 | tr -d '\n')"
fi
poweroff -f
`

// bakeElsewhere bakes on this machine, then from the same lock and packages on another.
func (s *soak) bakeElsewhere(c machineCase) (*machineFound, error) {
	dir := filepath.Join(s.dir, "machine", "work")
	recipe := filepath.Join(dir, "root", "soak", "recipe", "recipe.yaml")
	if err := errors.Join(remove(dir), writeFile(recipe, []byte(c.Recipe))); err != nil {
		return nil, err
	}
	ours := caller{s: s, home: filepath.Join(s.dir, "seed"), dir: dir}
	here, sums, err := ours.lockAndBake(recipe)
	if err != nil {
		return nil, err
	}
	if err := s.packBaker(filepath.Join(dir, "root"), c.Guest, here, ours.home, sums); err != nil {
		return nil, err
	}
	f := &machineFound{Packages: len(sums), Here: here}
	answer, err := s.boot(c.Guest, dir)
	f.read(answer)
	if errors.Is(err, errGuest) {
		f.Problem = err.Error()
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if f.There == "" {
		f.Problem = "it was not baked\n" + tail(filepath.Join(dir, "console"))
		return f, nil
	}
	if f.There != here {
		err = f.compare(ours, answer)
	}
	return f, errors.Join(err, remove(dir))
}

// lockAndBake makes the image of a recipe, and says which packages went into it.
func (c caller) lockAndBake(recipe string) (image string, sums []string, err error) {
	if _, err := c.call("lock", recipe); err != nil {
		return "", nil, err
	}
	if image, err = c.call("bake", recipe); err != nil {
		return "", nil, err
	}
	sums, err = packageSums(c, image)
	return image, sums, err
}

// packBaker writes root.tar beside root: a machine with the program, a recipe, its lock, the packages, and a shell.
func (s *soak) packBaker(root string, g guest, here, home string, sums []string) error {
	program, err := os.ReadFile(s.program)
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	if err := errors.Join(err,
		copyBusybox(filepath.Join(root, "bin")),
		writeFile(filepath.Join(root, "soak", "brickyard"), program),
		os.Chmod(filepath.Join(root, "soak", "brickyard"), 0o755),
		writeFile(filepath.Join(root, "soak", "guest"), fmt.Appendf(nil, "host=%s here=%s\n", g.Host, here)),
		writeFile(filepath.Join(root, "sbin", "init"), []byte(bakeScript)),
		os.Chmod(filepath.Join(root, "sbin", "init"), 0o755),
		linkBlobs(home, filepath.Join(root, "soak", "home"), sums),
	); err != nil {
		return err
	}
	if out, err := exec.CommandContext(s.ctx, "tar", "-C", root, "-cf", filepath.Join(filepath.Dir(root), "root.tar"), ".").CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w\n%s", err, out)
	}
	return nil
}

// answers are the lines of a guest's answer, by their first word.
func answers(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		m[name] = value
	}
	return m
}

// read fills in what the guest answered.
func (f *machineFound) read(answer string) {
	m := answers(answer)
	f.Kernel, f.CPU, f.Host, f.Began, f.Ended, f.There = m["kernel"], m["cpu"], m["host"], m["began"], m["ended"], m["there"]
	fmt.Sscan(m["seconds"], &f.Seconds) // 0 when it did not come that far, which There says
}

// compare says which files of the image differ from those of the one that was baked here.
func (f *machineFound) compare(ours caller, answer string) error {
	one, err := list(ours, f.Here)
	if err != nil {
		return err
	}
	packed, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(answers(answer)["files"])))
	if err != nil {
		return fmt.Errorf("list of the guest's files: %w", err)
	}
	data, err := io.ReadAll(packed)
	if err != nil {
		return fmt.Errorf("list of the guest's files: %w", err)
	}
	two, err := parseList(data)
	f.Differ = differing(one, two)
	return err
}

// bootFound is what was found when systemd was process 1.
type bootFound struct {
	Image      string   `json:"image"`
	Packages   int      `json:"packages"`
	Kernel     string   `json:"kernel"`
	Version    string   `json:"version"` // of systemd, asked through D-Bus
	State      string   `json:"state"`   // "running" when every unit came up
	Units      int      `json:"units"`   // loaded
	Active     int      `json:"active"`  // of them
	Failed     []string `json:"failed"`
	Names      []string `json:"names"` // on the bus, but for those of connections
	Took       string   `json:"took"`
	Bad        []string `json:"bad,omitempty"` // what systemd said on the console of jobs that failed
	Problem    string   `json:"problem,omitempty"`
	PoweredOff bool     `json:"powered_off"`
}

// bootUnit asks systemd and D-Bus, when all else is up, and has the machine switched off.
const bootUnit = `[Unit]
Description=Ask systemd and D-Bus

[Service]
Type=exec
ExecStart=/bin/sh /soak/ask
`

// bootScript is run by bootUnit. What it answers are lines of a name and a value.
const bootScript = `exec >/dev/ttyS1 </dev/null
echo "kernel $(uname -r)"
echo "state $(systemctl is-system-running --wait)"
echo "version $(busctl --system get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Version)"
echo "names $(busctl --system --acquired --no-legend list | cut -d' ' -f1 | tr '\n' ' ')"
echo "units $(systemctl list-units --all --plain --no-legend | wc -l)"
echo "active $(systemctl list-units --state=active --plain --no-legend | wc -l)"
echo "failed $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1 | tr '\n' ' ')"
for unit in $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1); do systemctl status "$unit" >/dev/ttyS0; done
echo "took $(systemd-analyze time | head -n 1)"
systemctl poweroff
`

func bootCase(s *soak) (testCase, error) {
	sub, err := subjectNamed("systemd")
	c := machineCase{Name: "boot-systemd", Recipe: sub.recipe(), Guest: guests()[0]}
	return testCase{c.Name, []any{c, bootUnit, bootScript}, func() (any, bool, error) {
		f, err := s.bootSystemd(c)
		return f, err == nil && f.Problem == "" && f.State == "running" && f.PoweredOff, err
	}}, err
}

// bootSystemd bakes an image with systemd, makes it the root of a machine, and has it asked whether it runs.
func (s *soak) bootSystemd(c machineCase) (*bootFound, error) {
	dir := filepath.Join(s.dir, "machine", "work")
	recipe := filepath.Join(dir, "recipe", "recipe.yaml")
	unit := filepath.Join(dir, "more", "etc", "systemd", "system", "soak.service")
	if err := errors.Join(remove(dir), writeFile(recipe, []byte(c.Recipe)),
		writeFile(unit, []byte(bootUnit)), writeFile(filepath.Join(dir, "more", "soak", "ask"), []byte(bootScript))); err != nil {
		return nil, err
	}
	ours := caller{s: s, home: filepath.Join(s.dir, "seed"), dir: dir}
	image, sums, err := ours.lockAndBake(recipe)
	if err != nil {
		return nil, err
	}
	if _, err := ours.call("export", image, "--format", "rootfs", "--to", "root.tar"); err != nil {
		return nil, err
	}
	more := exec.CommandContext(s.ctx, "tar", "-C", "more", "-rf", "root.tar", "etc/systemd/system/soak.service", "soak/ask")
	more.Dir = dir
	if out, err := more.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("tar: %w\n%s", err, out)
	}
	f := &bootFound{Image: image, Packages: len(sums)}
	answer, err := s.boot(c.Guest, dir)
	f.read(answer)
	if errors.Is(err, errGuest) {
		f.Problem = err.Error()
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	console, err := os.ReadFile(filepath.Join(dir, "console"))
	if err != nil {
		return nil, err
	}
	f.PoweredOff, f.Bad = true, failedJobs(string(console))
	if f.State != "running" || len(f.Bad) > 0 {
		f.Problem = tail(filepath.Join(dir, "console"))
		return f, nil
	}
	return f, remove(dir)
}

// failedJobs are the lines with which systemd tells of a job that failed, did not end, or waited in vain for another: such a
// job leaves no failed unit behind.
func failedJobs(console string) (bad []string) {
	for line := range strings.Lines(colours.ReplaceAllString(console, "")) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[FAILED]") || strings.HasPrefix(line, "[DEPEND]") || strings.HasPrefix(line, "[ TIME ]") {
			bad = append(bad, line)
		}
	}
	return bad
}

// colours are what makes a terminal show colours (ECMA-48, SGR) or clears its line.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[mK]")

// read fills in what the guest answered.
func (f *bootFound) read(answer string) {
	m := answers(answer)
	f.Kernel, f.Version, f.State, f.Took = m["kernel"], strings.Trim(strings.TrimPrefix(m["version"], "s "), `"`), m["state"], m["took"]
	f.Failed, f.Names = strings.Fields(m["failed"]), strings.Fields(m["names"])
	fmt.Sscan(m["units"], &f.Units) // 0 when it did not come that far, which State says
	fmt.Sscan(m["active"], &f.Active)
}

func machineReport(s *soak, outcomes []outcome) string {
	var bakes, boots strings.Builder
	same := 0
	for _, o := range outcomes {
		if o.ID == "boot-systemd" {
			boots.WriteString(bootRow(o))
			continue
		}
		if o.OK {
			same++
		}
		bakes.WriteString(machineRow(o))
	}
	return `## Other machines, other days

Each of these was baked on this machine and then, from the same lock and packages, on one that QEMU emulates: another kernel, another
processor, one core, another clock, another host name, tmpfs as its only file system, no network, no apt, no other program but busybox.
Clocks were set a minute before the end of a leap day, a minute before 32 bits no longer count the seconds, and to a day long before any
of the packages was made, as with a machine that lost the time. Times of baking are by the emulated machine's clock, and say nothing of real ones.

` + fmt.Sprintf("**%d of %d have the same bits.**\n\n", same, strings.Count(bakes.String(), "\n")) + `| image | packages | kernel | processor | clock, from | to | host name | baked in, emulated | same bits |
|---|---:|---|---|---|---|---|---:|---|
` + bakes.String() + `
### systemd as process 1

The corpus' image with systemd and D-Bus, exported as a root file system, is the root of such a machine and starts by /sbin/init.
A unit that is put beside it asks systemd, through D-Bus too, and has the machine switched off.

| image | packages | kernel | systemd | state | units, active | failed | on the bus | time, emulated | switched itself off |
|---|---:|---|---|---|---:|---|---|---|---|
` + boots.String()
}

// machineRow is the line of a bake.
func machineRow(o outcome) string {
	var f machineFound
	err := json.Unmarshal(o.Found, &f)
	same := "yes"
	switch {
	case err != nil || f.Problem != "":
		same = "no: it was not baked"
	case !o.OK:
		same = fmt.Sprintf("no: %d paths differ", len(f.Differ))
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s | %s | %d s | %s |\n", o.ID, f.Packages, f.Kernel, f.CPU, f.Began, f.Ended, f.Host, f.Seconds, same)
}

// bootRow is the line of a boot.
func bootRow(o outcome) string {
	var f bootFound
	off := "yes"
	if err := json.Unmarshal(o.Found, &f); err != nil || !f.PoweredOff {
		off = "no"
	}
	failed := "none"
	if len(f.Failed) > 0 {
		failed = strings.Join(f.Failed, ", ")
	}
	return fmt.Sprintf("| systemd | %d | %s | %s | %s | %d, %d | %s | %s | %s | %s |\n", f.Packages, f.Kernel, f.Version, f.State, f.Units, f.Active,
		failed, strings.Join(f.Names, ", "), f.Took, off)
}
