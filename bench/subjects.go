package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pkg and image are what "brickyard inspect --json" says of them.
type pkg struct{ Name, Version, Arch, SHA256 string }

type image struct {
	Packages []pkg
	Layers   []struct {
		Digest string
		Size   int64
	}
}

func (i image) size() int64 { return i.newBytes(image{}) }

// newBytes is the size of the layers that old does not have.
func (i image) newBytes(old image) int64 {
	have := map[string]bool{}
	for _, l := range old.Layers {
		have[l.Digest] = true
	}
	var n int64
	for _, l := range i.Layers {
		if !have[l.Digest] {
			n += l.Size
		}
	}
	return n
}

// shared is the share of the packages that the other image has too.
func (i image) shared(other image) float64 {
	n := 0
	for _, p := range i.Packages {
		if slices.Contains(other.Packages, p) {
			n++
		}
	}
	return float64(n) / float64(len(i.Packages))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) brickyard(home string, args ...string) []string {
	return append([]string{b.path("brickyard"), "--home", home, "--quiet"}, args...)
}

func (b *bench) bake(home, recipe string) []string {
	return b.brickyard(home, "bake", "--offline", b.path("recipe/"+recipe+".yaml"))
}

func (b *bench) image(home, ref string) (image, error) {
	out, err := b.output(b.brickyard(home, "inspect", "--json", ref)...)
	if err != nil {
		return image{}, err
	}
	var answer struct{ Record image }
	err = json.Unmarshal([]byte(out), &answer)
	return answer.Record, err
}

// prepare builds the program, locks the recipes, fetches their packages, and puts them where mmdebstrap finds
// them: nobody pays for a network. What was fetched by an earlier run is not fetched again.
func (b *bench) prepare() error {
	say("building, locking, fetching")
	if err := os.MkdirAll(b.path("recipe"), 0o755); err != nil {
		return err
	}
	b.repo = b.path("repo")
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	version, err := b.output("git", "-C", cwd, "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return err
	}
	build := []string{
		"go", "build", "-C", cwd, "-trimpath", "-ldflags", "-X brickyard/internal/cli.version=" + version,
		"-o", b.path("brickyard"), "./cmd/brickyard",
	}
	cmd, said := b.command(build, []string{"CGO_ENABLED=0"})
	if err := cmd.Run(); err != nil {
		return failed(build, err, said)
	}
	if err := copyFiles("bench/recipe", b.path("recipe")); err != nil {
		return err
	}
	// Locked one after the other, all have the archive of the same hour.
	for _, name := range []string{"web", "plain", "second"} {
		file := b.path("recipe/" + name + ".yaml")
		if _, err := b.output(b.brickyard(b.path("seed"), "lock", "--update", file)...); err != nil {
			return err
		}
		digest, err := b.output(b.brickyard(b.path("seed"), "bake", file)...)
		if err != nil {
			return err
		}
		img, err := b.image(b.path("seed"), digest)
		if err != nil {
			return err
		}
		b.images[name] = img
	}
	warm := b.path("warm")
	if err := b.newHome(warm, b.images["web"].Packages); err != nil {
		return err
	}
	for _, name := range []string{"web", "plain"} {
		if _, err := b.output(b.bake(warm, name)...); err != nil {
			return err
		}
	}
	return b.repository()
}

// copyFiles copies the files of one directory into another.
func copyFiles(from, to string) error {
	des, err := os.ReadDir(from)
	for _, de := range des {
		data, rerr := os.ReadFile(filepath.Join(from, de.Name()))
		err = errors.Join(err, rerr, os.WriteFile(filepath.Join(to, de.Name()), data, 0o644))
	}
	return err
}

// newHome makes a home that has nothing but packages, as they were fetched.
func (b *bench) newHome(home string, pkgs []pkg) error {
	if err := b.bury(home); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(home, "blobs/sha256"), 0o755); err != nil {
		return err
	}
	return b.linkPackages(home, pkgs)
}

// linkPackages puts packages of the seed into a home.
func (b *bench) linkPackages(home string, pkgs []pkg) error {
	for _, p := range pkgs {
		err := os.Link(b.path("seed/blobs/sha256/"+p.SHA256), filepath.Join(home, "blobs/sha256", p.SHA256))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// bury puts what a run has made out of the way. It is taken away when all is measured: ext4 looks at every inode that
// went in the last minutes before it makes another, which can double the time of the next run.
func (b *bench) bury(path string) error {
	if err := os.MkdirAll(b.path("gone"), 0o755); err != nil {
		return err
	}
	grave, err := os.MkdirTemp(b.path("gone"), "")
	if err != nil {
		return err
	}
	err = os.Rename(path, filepath.Join(grave, "it"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fresh takes away what a run before this one has made.
func (b *bench) fresh(name string) func() error { return func() error { return b.bury(b.path(name)) } }

// change writes another page, for Brickyard and for docker.
func (b *bench) change() error {
	page := fmt.Sprintf("<!doctype html>\n<title>bench</title>\n<p>This page is of %d.</p>\n", time.Now().UnixNano())
	var err error
	for _, dir := range []string{"recipe", "docker-plain", "docker-command", "gone"} {
		err = errors.Join(err, os.WriteFile(b.path(dir+"/index.html"), []byte(page), 0o644))
	}
	return err
}

// settle bakes what has been changed, so that nothing is left to do.
func (b *bench) settle() error {
	_, err := b.output(b.bake(b.path("warm"), "web")...)
	return err
}

// repository makes an archive for apt out of the same packages.
func (b *bench) repository() error {
	if err := errors.Join(os.RemoveAll(b.repo), os.MkdirAll(b.repo, 0o755)); err != nil {
		return err
	}
	for _, p := range b.images["web"].Packages {
		name := p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Arch + ".deb"
		if err := os.Link(b.path("seed/blobs/sha256/"+p.SHA256), filepath.Join(b.repo, name)); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		file string
		args []string
	}{
		{"Packages", []string{"packages", "."}},
		{"Release", []string{"-o", "APT::FTPArchive::Release::Suite=bookworm", "-o", "APT::FTPArchive::Release::Codename=bookworm", "release", "."}},
	} {
		argv := append([]string{"apt-ftparchive"}, step.args...)
		cmd, said := b.command(argv, nil)
		cmd.Dir = b.repo
		out, err := cmd.Output()
		if err != nil {
			return failed(argv, err, said)
		}
		if err := os.WriteFile(filepath.Join(b.repo, step.file), out, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// diet is what slim: [docs, man, locales, dpkg-cache] takes away, in dpkg's words; mmdebstrap itself takes away
// what slim: [apt] does.
var diet = []string{
	"path-exclude=/usr/share/doc/*/*", "path-include=/usr/share/doc/*/copyright", "path-include=/usr/share/doc/*/NOTICE*",
	"path-exclude=/usr/share/doc-base/*", "path-exclude=/usr/share/gtk-doc/*", "path-exclude=/usr/share/help/*",
	"path-exclude=/usr/share/lintian/*", "path-exclude=/usr/share/linda/*", "path-exclude=/usr/share/bug/*",
	"path-exclude=/usr/share/man/*", "path-exclude=/usr/local/share/man/*",
	"path-exclude=/usr/share/locale/*", "path-include=/usr/share/locale/locale.alias",
	"path-exclude=/usr/share/i18n/locales/*", "path-include=/usr/share/i18n/locales/C", "path-include=/usr/share/i18n/locales/POSIX",
	"path-include=/usr/share/i18n/locales/i18n*", "path-include=/usr/share/i18n/locales/translit_*",
	"path-exclude=/usr/lib/locale/*", "path-include=/usr/lib/locale/C.utf8*",
}

// mmdebstrap is the command that makes what web.yaml describes, with the packages at hand.
func (b *bench) mmdebstrap(out, format string) func() []string {
	argv := []string{"mmdebstrap", "--quiet", "--mode=root", "--format=" + format, "--variant=minbase", "--include=apt,apache2"}
	for _, d := range diet {
		argv = append(argv, "--dpkgopt="+d)
	}
	recipe := b.path("recipe")
	for _, hook := range []string{
		`cp '` + recipe + `/index.html' "$1/var/www/html/index.html"`,
		`cp '` + recipe + `/brickyard.conf' "$1/etc/apache2/conf-enabled/brickyard.conf"`,
		`rm "$1/etc/apache2/conf-enabled/other-vhosts-access-log.conf"`,
		`chroot "$1" apache2ctl configtest`,
		`rm -f "$1"/var/lib/dpkg/*-old "$1"/var/lib/dpkg/available "$1"/var/cache/debconf/*-old "$1"/var/backups/* "$1"/var/log/dpkg.log "$1"/var/log/alternatives.log`,
	} {
		argv = append(argv, "--customize-hook="+hook)
	}
	argv = append(argv, "bookworm", b.path(out), "deb [trusted=yes] copy:"+b.repo+" ./")
	return func() []string { return argv }
}

// checkPeer makes sure that both did the same: mmdebstrap's packages are those of the image.
func (b *bench) checkPeer() error {
	out, err := b.output("dpkg-query", "--admindir="+b.path("mm/var/lib/dpkg"), "-W", "-f", "${Package} ${Version}\n")
	if err != nil {
		return err
	}
	var want []string
	for _, p := range b.images["web"].Packages {
		want = append(want, p.Name+" "+p.Version)
	}
	got := strings.Split(out, "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("mmdebstrap installed other packages:\n got %q\nwant %q", got, want)
	}
	return nil
}

// The names that our images have in Docker.
const dockerBase, dockerBuilt = "brickyard-bench/base", "brickyard-bench/built"

// prepareDocker imports mmdebstrap's root file system as the image that docker build starts from, and finds
// out which builder works here: the newer one goes first.
func (b *bench) prepareDocker() error {
	say("docker")
	if _, err := b.output(b.mmdebstrap("mm.tar", "tar")()...); err != nil {
		return err
	}
	if _, err := b.output("docker", "import", b.path("mm.tar"), dockerBase); err != nil {
		return err
	}
	for name, last := range map[string]string{"plain": "", "command": "RUN apache2ctl configtest\n"} {
		dir := b.path("docker-" + name)
		text := "FROM " + dockerBase + "\nCOPY index.html /var/www/html/index.html\n" + last
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/Dockerfile", []byte(text), 0o644)); err != nil {
			return err
		}
	}
	if err := b.change(); err != nil {
		return err
	}
	var errs error
	for _, builder := range []string{"DOCKER_BUILDKIT=1", "DOCKER_BUILDKIT=0"} {
		b.builder = []string{builder}
		argv := b.dockerBuild("plain")()
		cmd, said := b.command(argv, b.builder)
		err := cmd.Run()
		if err == nil {
			return b.dropBuilt()
		}
		errs = errors.Join(errs, failed(argv, err, said))
	}
	return errs
}

func (b *bench) dockerBuild(name string) func() []string {
	argv := []string{"docker", "build", "--quiet", "--network=none", "-t", dockerBuilt, b.path("docker-" + name)}
	return func() []string { return argv }
}

// dropBuilt takes away the image that docker has built: the next build has the same to do.
func (b *bench) dropBuilt() error {
	_, err := b.output("docker", "rmi", "--force", dockerBuilt)
	return err
}

// cleanup leaves only what the next run can use.
func (b *bench) cleanup() error {
	_, err := b.output("docker", "rmi", "--force", dockerBase)
	for _, name := range []string{"cold", "warm", "alone", "mm", "mm.tar", "ours.tar", "repo", "docker-plain", "docker-command", "gone", "floor", "floor.links", "cpu.profile"} {
		err = errors.Join(err, os.RemoveAll(b.path(name)))
	}
	return err
}
