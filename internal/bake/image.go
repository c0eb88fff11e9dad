package bake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"brickyard/internal/bake/layer"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The labels of ours in an image's configuration.
const (
	LabelOwner     = "brickyard.owner"
	LabelExpires   = "brickyard.expires" // as the recipe says it: a date, or a span after baking
	LabelLifecycle = "brickyard.lifecycle"
	LabelState     = "brickyard.state" // paths, sorted, separated by ":"
)

// config is the OCI image configuration with the one field that Docker adds to it.
type config struct {
	Created *time.Time   `json:"created,omitempty"`
	Author  string       `json:"author,omitempty"`
	Arch    string       `json:"architecture"`
	OS      string       `json:"os"`
	Variant string       `json:"variant,omitempty"`
	Config  runConfig    `json:"config,omitzero"`
	RootFS  v1.RootFS    `json:"rootfs"`
	History []v1.History `json:"history,omitempty"`
}

type runConfig struct {
	v1.ImageConfig
	Healthcheck *healthcheck `json:"Healthcheck,omitempty"`
}

// healthcheck is Docker's form (Docker image specification v1.2, "Healthcheck"); spans in nanoseconds.
type healthcheck struct {
	Test     []string
	Interval time.Duration `json:",omitempty"`
	Timeout  time.Duration `json:",omitempty"`
	Retries  int           `json:",omitempty"`
}

// goArch maps Debian's names of architectures to those of the OCI configuration (GOARCH, and variant).
var goArch = map[string][2]string{
	"amd64": {"amd64"}, "arm64": {"arm64", "v8"}, "armhf": {"arm", "v7"}, "armel": {"arm", "v5"}, "i386": {"386"},
	"ppc64el": {"ppc64le"}, "riscv64": {"riscv64"}, "s390x": {"s390x"}, "mips64el": {"mips64le"}, "loong64": {"loong64"},
}

// DebianArch is Debian's name of the architecture that Go calls arch, "" when Debian has none.
func DebianArch(arch string) string {
	for _, d := range slices.Sorted(maps.Keys(goArch)) {
		if goArch[d][0] == arch {
			return d
		}
	}
	return ""
}

// newConfig is the configuration that the recipe asks for, over that of the base image.
func newConfig(r *recipe.Recipe, base *Base, arch string, epoch time.Time) config {
	c := config{OS: "linux", Arch: goArch[arch][0], Variant: goArch[arch][1], Created: &epoch}
	if base != nil {
		c.Config = base.config.Config
		c.History = slices.Clone(base.config.History)
		c.RootFS = base.config.RootFS
	}
	rc := &c.Config
	rc.Env = mergeEnv(rc.Env, r.Env)
	if r.User != "" {
		rc.User = r.User
	}
	if r.Workdir != "" {
		rc.WorkingDir = r.Workdir
	}
	if r.StopSignal != "" {
		rc.StopSignal = r.StopSignal
	}
	// A new entrypoint makes the base's command meaningless, as in a Dockerfile.
	if r.Entrypoint != nil {
		rc.Entrypoint, rc.Cmd = r.Entrypoint, nil
	}
	if r.Command != nil {
		rc.Cmd = r.Command
	}
	rc.ExposedPorts = maps.Clone(rc.ExposedPorts)
	for _, p := range r.Ports {
		set(&rc.ExposedPorts, fmt.Sprintf("%d/%s", p.Number, p.Proto))
	}
	rc.Volumes = maps.Clone(rc.Volumes)
	for _, s := range r.State {
		set(&rc.Volumes, s)
	}
	rc.Labels = labels(r, rc)
	if r.Health != nil {
		rc.Healthcheck = health(r)
	}
	return c
}

func set(m *map[string]struct{}, key string) {
	if *m == nil {
		*m = map[string]struct{}{}
	}
	(*m)[key] = struct{}{}
}

// defaultPath is the PATH of images that say nothing else.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// mergeEnv puts the variables of m over env, and sorts.
func mergeEnv(env []string, m map[string]string) []string {
	all := map[string]string{"PATH": defaultPath}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		all[k] = v
	}
	maps.Copy(all, m)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return out
}

func labels(r *recipe.Recipe, rc *runConfig) map[string]string {
	m := map[string]string{}
	maps.Copy(m, rc.Labels)
	m[v1.AnnotationTitle] = r.Name
	for k, v := range map[string]string{
		LabelOwner: r.Owner, LabelExpires: r.Expires.String(), LabelLifecycle: r.Lifecycle,
		LabelState: strings.Join(slices.Sorted(maps.Keys(rc.Volumes)), ":"),
	} {
		if v != "" {
			m[k] = v
		}
	}
	maps.Copy(m, r.Labels)
	return m
}

// health turns the recipe's check into a command for engines that run such; HTTP and TCP are checked from
// outside the image by ours, which reads them from the record.
func health(r *recipe.Recipe) *healthcheck {
	h := r.Health
	if len(h.Exec) == 0 {
		return nil
	}
	return &healthcheck{Test: append([]string{"CMD"}, h.Exec...), Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries}
}

// addLayer notes one more layer in the configuration.
func (c *config) addLayer(l layer.Layer, by string) {
	c.RootFS.Type = "layers"
	c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.Digest(l.DiffID))
	c.History = append(c.History, v1.History{Created: c.Created, CreatedBy: by})
}

// writeImage writes configuration and manifest as blobs.
func writeImage(s *store.Store, c config, layers []Layer) (manifest, cfg tree.Digest, err error) {
	data, err := json.Marshal(c)
	if err != nil {
		return "", "", err
	}
	cfg, size, err := s.Put(bytes.NewReader(data))
	if err != nil {
		return "", "", err
	}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.Digest(cfg), Size: size},
		Layers: []v1.Descriptor{},
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: layer.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size})
	}
	if data, err = json.Marshal(m); err != nil {
		return "", "", err
	}
	manifest, _, err = s.Put(bytes.NewReader(data))
	return manifest, cfg, err
}
