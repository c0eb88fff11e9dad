package apt

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestRealArchive loads what this machine's apt names from the network: BRICKYARD_SOAK=1.
func TestRealArchive(t *testing.T) {
	if os.Getenv("BRICKYARD_SOAK") == "" {
		t.Skip("needs the network: set BRICKYARD_SOAK=1")
	}
	h, err := HostSources("/")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := h.Select(Want{Distro: h.Distro, Suite: h.Codename})
	if err != nil {
		t.Fatal(err)
	}
	arch := runtime.GOARCH
	l := &Loader{Client: NewClient(ClientOptions{}), Cache: t.TempDir(), Arch: arch, Now: time.Now}
	for _, kind := range []string{"cold", "warm"} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		u, err := l.Load(t.Context(), sources)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		n := 0
		for name := range u.Names() {
			n += len(name.Versions)
		}
		t.Logf("%s: %d packages in %v, %d MiB kept, %d MiB from the system", kind, n, took.Round(time.Millisecond),
			(after.HeapAlloc-before.HeapAlloc)>>20, after.Sys>>20)
		for _, r := range u.Releases {
			t.Logf("%s: %s %s, signed by %v", r.Source.ID, r.Origin, r.Date, r.SignedBy)
		}
		if n < 10_000 {
			t.Errorf("only %d packages", n)
		}
		runtime.KeepAlive(u)
	}
}
