package main

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// rootfsPool is what sets of packages for the comparison with mmdebstrap are drawn from: scripts of all kinds, users, capabilities,
// diversions, alternatives, triggers, byte code, caches.
var rootfsPool = []string{
	"adduser", "apache2", "at", "bash-completion", "bind9", "ca-certificates", "chrony", "console-setup", "cron", "curl", "dash", "dbus",
	"debconf-utils", "dictionaries-common", "dnsmasq", "emacs-nox", "exim4-daemon-light", "file", "fontconfig", "fonts-dejavu-core", "gcc",
	"git", "gnupg", "golang-go", "graphviz", "haproxy", "ifupdown", "iproute2", "iputils-ping", "isc-dhcp-client", "javascript-common",
	"kmod", "less", "libglib2.0-bin", "libpam-systemd", "lighttpd", "locales", "logrotate", "lsb-release", "lvm2", "mailcap", "man-db",
	"memcached", "mime-support", "nano", "nfs-common", "nginx-light", "openssh-server", "perl", "php-cli",
	"procps", "python3", "python3-yaml", "redis-server", "rsync", "rsyslog", "ruby", "screen", "shared-mime-info", "snmpd", "squid", "sudo",
	"systemd", "systemd-sysv", "tcpdump", "tzdata", "ucf", "udev", "unattended-upgrades", "vim-tiny", "wget", "xz-utils", "zsh",
}

// rootfsSets is how many sets are drawn.
const rootfsSets = 20

// A rootfsCase is one root file system that both make.
type rootfsCase struct {
	Arch     string   `json:"arch,omitempty"` // Debian's name, where it is not the machine's: scripts run by qemu
	Variant  string   `json:"variant"`
	Packages []string `json:"packages"`
	Format   int      `json:"format"` // of the comparison: goes up when it looks at more
}

// rootfsFound is what the comparison found.
type rootfsFound struct {
	Arch        string   `json:"arch,omitempty"`
	Asked       []string `json:"asked"`
	Packages    int      `json:"packages"`
	Files       int      `json:"files"`       // of ours: paths, directories too
	Excused     []string `json:"excused"`     // the reasons of differences, those of rootfsExcuses, sorted
	Differences []string `json:"differences"` // that nothing excuses
	Dpkg        string   `json:"dpkg"`        // what dpkg has to say of the image, "" for nothing
	NoApt       bool     `json:"no_apt"`      // there is none in it
	Apt         string   `json:"apt"`         // why apt could not install one more package, "" when it could
}

func (f *rootfsFound) ok() bool { return len(f.Differences) == 0 && f.Dpkg == "" && f.Apt == "" }

func (f *rootfsFound) aptVerdict() string {
	if f.NoApt {
		return "not there"
	}
	return cmp.Or(f.Apt, "yes")
}

func rootfsCases(s *soak) ([]testCase, error) {
	list := []rootfsCase{{Variant: "essential"}, {Variant: "minbase"}}
	draw := rand.New(rand.NewPCG(s.seed, 3))
	for range rootfsSets {
		var set []string
		for range 1 + draw.IntN(5) {
			set = append(set, rootfsPool[draw.IntN(len(rootfsPool))])
		}
		slices.Sort(set)
		list = append(list, rootfsCase{Variant: "minbase", Packages: slices.Compact(set)})
	}
	other := otherArch()
	list = append(list, rootfsCase{Arch: other, Variant: "essential"}, rootfsCase{Arch: other, Variant: "minbase", Packages: []string{"nginx-light"}})
	var cases []testCase
	for i, c := range list {
		c.Format = 1
		id := c.Variant
		if c.Packages != nil {
			id = fmt.Sprintf("set-%02d", i-1)
		}
		if c.Arch != "" {
			id = strings.Join(append([]string{c.Arch, c.Variant}, c.Packages...), "-")
		}
		cases = append(cases, testCase{id: id, definition: c, run: func() (any, bool, error) {
			f, err := s.compareSet(id, c)
			return f, err == nil && f.ok(), err
		}})
	}
	return cases, nil
}

// otherArch is an architecture that this machine runs by qemu only.
func otherArch() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

// compareSet makes a root file system of the same packages with both programs, and compares.
func (s *soak) compareSet(id string, c rootfsCase) (*rootfsFound, error) {
	dir := filepath.Join(s.dir, "rootfs", id)
	repo := filepath.Join(dir, "repo")
	if err := errors.Join(remove(dir), os.MkdirAll(repo, 0o755)); err != nil {
		return nil, err
	}
	ours := caller{s: s, home: s.ownHome("rootfs"), dir: dir}
	image, record, err := ours.bakeSet(c.Arch, c.Variant, c.Packages)
	if err != nil {
		return nil, err
	}
	if err := ours.makeRepo(repo, record.Packages); err != nil {
		return nil, err
	}
	if err := s.mmdebstrap(dir, c); err != nil {
		return nil, err
	}
	if _, err := ours.call("export", image, "--format", "rootfs", "--to", "ours.tar"); err != nil {
		return nil, err
	}
	a, aerr := readRoot(filepath.Join(dir, "ours.tar"))
	b, berr := readRoot(filepath.Join(dir, "theirs.tar"))
	if err := cmp.Or(aerr, berr); err != nil {
		return nil, err
	}
	f := &rootfsFound{Arch: c.Arch, Asked: c.Packages, Packages: len(record.Packages), Files: len(a), NoApt: c.Variant != "minbase"}
	f.Differences, f.Excused = compareRoots(a, b, record.cleaned())
	if f.Dpkg, err = ours.askDpkg(image); err != nil {
		return nil, err
	}
	if !f.NoApt {
		if f.Apt, err = ours.installOneMore(c.Arch, image, repo); err != nil {
			return nil, err
		}
	}
	if f.ok() {
		err = remove(dir)
	} // else what both made stays, to be looked at
	return f, err
}

// A bakedRecord is what "brickyard inspect --json" says of an image.
type bakedRecord struct {
	Packages []lockedPackage
	Cleaned  []struct{ Path, Why string }
}

type lockedPackage struct{ Name, Version, Arch, SHA256 string }

// cleaned maps the paths that were taken away or emptied, for what differs from run to run, to why.
func (r bakedRecord) cleaned() map[string]string {
	m := map[string]string{}
	for _, c := range r.Cleaned {
		m[c.Path] = c.Why
	}
	return m
}

// bakeSet locks and bakes a recipe of these packages, in the suite of this machine; arch "" is that of this machine, too.
func (c caller) bakeSet(arch, variant string, packages []string) (image string, r bakedRecord, err error) {
	from := "debian: " + osRelease("VERSION_CODENAME") + ", variant: " + variant
	if arch != "" {
		from += ", arch: " + arch
	}
	recipe := fmt.Sprintf("name: set\nfrom: {%s}\npackages: [%s]\nowner: soak\nexpires: 90d\n", from, strings.Join(packages, ", "))
	if err := os.WriteFile(filepath.Join(c.dir, "recipe.yaml"), []byte(recipe), 0o644); err != nil {
		return "", r, err
	}
	if _, err := c.call("lock", "recipe.yaml"); err != nil {
		return "", r, err
	}
	if image, err = c.call("bake", "recipe.yaml"); err != nil {
		return "", r, err
	}
	out, err := c.call("inspect", image, "--json")
	if err != nil {
		return "", r, err
	}
	answer := struct{ Record *bakedRecord }{&r}
	return image, r, json.Unmarshal([]byte(out), &answer)
}

// makeRepo makes repo an archive for apt, of packages that the home has.
func (c caller) makeRepo(repo string, packages []lockedPackage) error {
	for _, p := range packages {
		name := p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Arch + ".deb"
		err := os.Link(filepath.Join(c.home, "blobs/sha256", p.SHA256), filepath.Join(repo, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	suite := osRelease("VERSION_CODENAME")
	for _, file := range []struct {
		name string
		args []string
	}{
		{"Packages", []string{"packages", "."}},
		{"Release", []string{"-o", "APT::FTPArchive::Release::Suite=" + suite, "-o", "APT::FTPArchive::Release::Codename=" + suite, "release", "."}},
	} {
		if err := remove(filepath.Join(repo, file.name)); err != nil { // Release would list itself
			return err
		}
		cmd := exec.CommandContext(c.s.ctx, "apt-ftparchive", file.args...)
		cmd.Dir = repo
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("apt-ftparchive: %w", err)
		}
		if err := os.WriteFile(filepath.Join(repo, file.name), out, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mmdebstrap makes theirs.tar in dir, out of the archive in dir/repo.
func (s *soak) mmdebstrap(dir string, c rootfsCase) error {
	argv := []string{"--quiet", "--mode=root", "--format=tar", "--variant=" + c.Variant}
	if c.Variant == "minbase" {
		argv = append(argv, "--include="+strings.Join(append([]string{"apt"}, c.Packages...), ","))
	}
	if c.Arch != "" {
		argv = append(argv, "--architectures="+c.Arch, "--skip=check/qemu") // which is another package's; qemu is there
	}
	argv = append(argv, osRelease("VERSION_CODENAME"), filepath.Join(dir, "theirs.tar"), "deb [trusted=yes] copy:"+filepath.Join(dir, "repo")+" ./")
	if out, err := exec.CommandContext(s.ctx, "mmdebstrap", argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, out)
	}
	return nil
}

// askDpkg lets the image's own dpkg look at the image, and returns what it finds wrong.
func (c caller) askDpkg(image string) (string, error) {
	out, err := c.call("run", image, "sh", "-c", `dpkg --audit 2>&1; dpkg --verify 2>&1; dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | grep -v '^ii '; true`)
	return strings.TrimSpace(out), err
}

// oneMore is a package that no set has.
const oneMore = "hello"

// installOneMore lets the image's own apt install a package from repo, and returns why it could not.
func (c caller) installOneMore(arch, image, repo string) (string, error) {
	more := c
	more.dir = filepath.Join(c.dir, "more")
	if err := os.MkdirAll(more.dir, 0o755); err != nil {
		return "", err
	}
	_, r, err := more.bakeSet(arch, "none", []string{oneMore})
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(r.Packages, func(p lockedPackage) bool { return p.Name == oneMore })
	if err := c.makeRepo(repo, r.Packages[i:i+1]); err != nil {
		return "", err
	}
	const script = `set -e
echo 'deb [trusted=yes] copy:/repo ./' > /etc/apt/sources.list.d/repo.list
apt-get -qq update
apt-get -qq -y install ` + oneMore + `
` + oneMore + " >/dev/null"
	if _, err := c.call("run", "-v", repo+":/repo:ro", "-e", "DEBIAN_FRONTEND=noninteractive", image, "sh", "-c", script); err != nil {
		return err.Error(), c.s.ctx.Err()
	}
	return "", nil
}

// A rootEntry is one path of a root file system, as the comparison sees it.
type rootEntry struct {
	typ         byte   // of tar
	mode        int64  // permission, setuid, setgid and sticky bits
	user, group string // names, as the root has them; numbers for those that it has not
	link        string
	xattrs      string
	sum         string
	text        string // of files of which lines are compared
}

func (e rootEntry) String() string {
	return fmt.Sprintf("%c %o %s:%s %s %s %.12s", e.typ, e.mode, e.user, e.group, e.link, e.xattrs, e.sum)
}

// accounts are files with numbers that are given out in the order in which packages are configured.
var accounts = regexp.MustCompile(`^etc/(passwd|group|shadow|gshadow)$`)

// readRoot reads a root file system from a tar file.
func readRoot(file string) (map[string]rootEntry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root := map[string]rootEntry{}
	ids := map[string][2]int{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p := path.Clean("/" + h.Name)[1:]
		if h.Typeflag == tar.TypeLink {
			to := path.Clean("/" + h.Linkname)[1:]
			root[p], ids[p] = root[to], ids[to]
			continue
		}
		e := rootEntry{typ: h.Typeflag, mode: h.Mode & 0o7777, link: h.Linkname}
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if strings.HasPrefix(k, "SCHILY.xattr.") {
				e.xattrs += fmt.Sprintf("%s=%x ", k, h.PAXRecords[k])
			}
		}
		if h.Typeflag == tar.TypeReg {
			sum := sha256.New()
			var text strings.Builder
			w := io.Writer(sum)
			if accounts.MatchString(p) || p == "etc/shells" || p == "var/lib/dpkg/triggers/File" {
				w = io.MultiWriter(sum, &text)
			}
			if _, err := io.Copy(w, tr); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			e.sum, e.text = hex.EncodeToString(sum.Sum(nil)), text.String()
		}
		root[p], ids[p] = e, [2]int{h.Uid, h.Gid}
	}
	users, groups := names(root["etc/passwd"].text), names(root["etc/group"].text)
	for p, e := range root {
		e.user, e.group = cmp.Or(users[fmt.Sprint(ids[p][0])], fmt.Sprint(ids[p][0])), cmp.Or(groups[fmt.Sprint(ids[p][1])], fmt.Sprint(ids[p][1]))
		root[p] = e
	}
	return root, nil
}

// names maps the ids in a passwd or group file to names.
func names(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Split(line, ":"); len(f) > 2 {
			m[f[2]] = f[0]
		}
	}
	return m
}

// lines are those of a file in which their order, which is that of scripts, and numbers of accounts do not matter.
func lines(p, text string) string {
	var out []string
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if accounts.MatchString(p) {
			for i := 2; i < min(4, len(f)); i++ { // ids, and in shadow the day
				if _, err := fmt.Sscanf(f[i], "%d", new(int)); err == nil {
					f[i] = "N"
				}
			}
		}
		out = append(out, strings.Join(f, ":"))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// rootfsExcuses are differences that are as they should be, each with its reason.
var rootfsExcuses = []struct{ pattern, why string }{
	{`^dev/`, "/dev: an instance gets one of its own; mmdebstrap leaves device nodes"},
	{`^run/`, "/run: mmdebstrap empties it; here what scripts made for their servers stays"},
	{`^etc/(fstab|hostname|resolv\.conf)$|^etc/apt/(sources\.list|apt\.conf\.d/99mmdebstrap)$`, "/etc/fstab, hostname, resolv.conf, apt/sources.list: mmdebstrap writes them for itself"},
	{`^etc/(passwd|group|shadow|gshadow|subuid|subgid)-$`, "/etc/passwd- and its like: the state before the last change, by the order of scripts"},
	{`^var/lib/dpkg/(arch|available)$`, "/var/lib/dpkg/arch, available: each leaves one empty or says the obvious"},
	{`^(etc/apt/(preferences|sources\.list)\.d|var/(cache|lib|log)/apt(/.*)?)$`, "/var/lib/apt and its like: no apt ran here, to make directories and locks for itself and to note what it installed unasked"},
	{`^var/cache/man/`, "/var/cache/man: a database of the pages that were there when it was first made, then added to"},
	{`^var/cache/fontconfig/`, "/var/cache/fontconfig: a cache with the times of directories"},
	{`/__pycache__/`, "__pycache__: made by whichever python ran first, of the same sources"},
}

// compareRoots lists what differs between our root and theirs, and the reasons of what may. cleaned are paths that we
// took away or emptied, and why.
func compareRoots(ours, theirs map[string]rootEntry, cleaned map[string]string) (differences, excused []string) {
	paths := maps.Clone(ours)
	maps.Copy(paths, theirs)
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		a, inOurs := ours[p]
		b, inTheirs := theirs[p]
		if a.text != "" && b.text != "" && lines(p, a.text) == lines(p, b.text) {
			b.sum, b.text = a.sum, a.text
		}
		if a == b {
			continue
		}
		if why := excuse(p, cleaned); why != "" {
			excused = append(excused, why)
			continue
		}
		switch {
		case !inOurs:
			differences = append(differences, "only mmdebstrap has /"+p)
		case !inTheirs:
			differences = append(differences, "only we have /"+p)
		default:
			differences = append(differences, fmt.Sprintf("/%s: %v, mmdebstrap's %v", p, a, b))
		}
	}
	slices.Sort(excused)
	return differences, slices.Compact(excused)
}

// mayBeCleaned are the paths that a bake may take away or empty: the list of the program itself is no excuse for more.
var mayBeCleaned = compileAll(
	`^var/cache/debconf/[a-z]+\.dat-old$`, `^var/cache/ldconfig/aux-cache$`, `^var/lib/dpkg/((diversions|status|statoverride)-old|lock|lock-frontend|triggers/Lock)$`,
	`^var/log/`, `^etc/\.pwd\.lock$`, `^run/`, `^etc/(machine-id|ssh/ssh_host_[a-z0-9]+_key(\.pub)?|ssl/(certs/ssl-cert-snakeoil\.pem|private/ssl-cert-snakeoil\.key))$`,
	`^var/lib/systemd/(catalog/database|random-seed)$`, `-$`,
)

func compileAll(patterns ...string) []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, p := range patterns {
		list = append(list, regexp.MustCompile(p))
	}
	return list
}

// excuse is why p may differ, "" for no reason.
func excuse(p string, cleaned map[string]string) string {
	if why, ok := cleaned[p]; ok && slices.ContainsFunc(mayBeCleaned, func(re *regexp.Regexp) bool { return re.MatchString(p) }) {
		return "taken away here, as recorded in the image's record: " + why
	}
	for _, x := range rootfsExcuses {
		if ok, _ := regexp.MatchString(x.pattern, p); ok {
			return x.why
		}
	}
	return ""
}

func rootfsReport(s *soak, outcomes []outcome) string {
	var b strings.Builder
	b.WriteString(`## Root file systems against mmdebstrap

The same packages made into a root file system by both, and compared path by path: type, content, owner and group (by name), mode, link
target, extended attributes. Then the image's own dpkg looks at it (--audit, --verify, status of each package), and
its own apt installs one more package. Those for another architecture than this machine's have their scripts run by qemu, in both.

| what | packages | paths | differences | dpkg finds | apt installs one more |
|---|---:|---:|---:|---|---|
`)
	reasons := map[string]bool{}
	for _, o := range outcomes {
		var f rootfsFound
		var c string
		if err := json.Unmarshal(o.Found, &f); err != nil {
			c = err.Error()
		}
		for _, why := range f.Excused {
			reasons[why] = true
		}
		what := cmp.Or(c, o.ID)
		if len(f.Asked) > 0 {
			what = "minbase and " + strings.Join(f.Asked, ", ")
		}
		if f.Arch != "" {
			what = strings.TrimPrefix(what, f.Arch+"-") + ", for " + f.Arch
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | %s |\n", what, f.Packages, f.Files, len(f.Differences), cmp.Or(f.Dpkg, "nothing"), f.aptVerdict())
	}
	b.WriteString("\nWhat may differ, and does in some of them:\n\n")
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		b.WriteString("- " + why + "\n")
	}
	return b.String()
}
