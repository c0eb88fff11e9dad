package resolve

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/apttest"
)

// TestPhased is about updates that Ubuntu gives to some machines first: which ones, apt computes from the machine's id. Where
// there is none, as in a new root, it takes them, and so do we.
func TestPhased(t *testing.T) {
	a := apttest.New()
	a.Add("jammy", "main", apttest.Package{Name: "tool", Version: "1"})
	a.Add("jammy-updates", "main", apttest.Package{Name: "tool", Version: "2", Index: map[string]string{"Phased-Update-Percentage": "0"}})
	srv := a.Server(t)
	oracle := apttest.NewApt(t, "amd64", map[string]string{
		"etc/apt/trusted.gpg.d/k.gpg":  string(apttest.Keyring()),
		"etc/apt/sources.list":         "deb " + srv.URL + " jammy main\ndeb " + srv.URL + " jammy-updates main\n",
		"etc/apt/apt.conf.d/as-ubuntu": `APT::Get::Phase-Policy "true";`,
	})
	if out, err := oracle.Run("update"); err != nil {
		t.Fatal(out)
	}
	if out, err := oracle.Run("-s", "install", "tool"); err != nil || !strings.Contains(out, "Inst tool (2 ") {
		t.Errorf("apt: %v: %s", err, out)
	}
	keys, err := apt.ReadKeys("test", apttest.Keyring())
	if err != nil {
		t.Fatal(err)
	}
	var sources []apt.Source
	for _, suite := range []string{"jammy", "jammy-updates"} {
		s, err := apt.NewSource("ubuntu", srv.URL, suite, nil, keys)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	client := apt.NewClient(apt.ClientOptions{})
	defer client.Close()
	l := apt.Loader{Client: client, Cache: filepath.Join(t.TempDir(), "indexes"), Arch: "amd64", Now: time.Now}
	u, err := l.Load(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(Resolve(u, Request{Ask: asks("tool")})); got != "tool=2" {
		t.Errorf("got %s", got)
	}
	pins := []Pin{{Package: "tool", Version: "1", Priority: 1000}}
	if got := outcome(Resolve(u, Request{Ask: asks("tool"), Pins: pins})); got != "tool=1" {
		t.Errorf("pinned: got %s", got)
	}
}
