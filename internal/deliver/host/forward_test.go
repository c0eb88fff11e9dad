package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
)

// service runs an instance in the test's own process until the returned function is called, and returns
// the ports that were published.
func (l *lab) service(o Options, args ...string) (ports []PortMap, stop func() result) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	r, w := io.Pipe()
	var res result
	var stderr bytes.Buffer
	var done sync.WaitGroup
	o.Args, o.Path, o.Stdout, o.Stderr = args, os.Getenv("PATH"), w, &stderr
	o.OnPublish = func(p PortMap) { ports = append(ports, p) }
	done.Go(func() {
		res.code, res.err = Run(ctx, l.store, l.image, o)
		w.Close()
	})
	stop = sync.OnceValue(func() result {
		cancel()
		done.Wait()
		l.nothingLeft()
		return res
	})
	l.t.Cleanup(func() { stop() })
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(r, line); err != nil {
		l.t.Fatalf("%v; %+v; stderr: %s", err, stop(), &stderr)
	}
	done.Go(func() { io.Copy(io.Discard, r) })
	return ports, stop
}

func hostAddr(p PortMap) string { return netip.AddrPortFrom(p.address(), p.Host).String() }

// echo sends size bytes, says that this is all, and reads what comes back and the service's last word,
// which it says only when it has heard of the end.
func echo(addr string, size int, seed byte) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := bytes.Repeat([]byte{seed}, size)
	var g errgroup.Group
	g.Go(func() error {
		_, err := c.Write(sent)
		return errors.Join(err, c.(*net.TCPConn).CloseWrite())
	})
	got, err := io.ReadAll(c)
	if err := errors.Join(err, g.Wait()); err != nil {
		return err
	}
	if want := append(sent, "end"...); !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes back, want %d", len(got), len(want))
	}
	return nil
}

func TestPublishTCP(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct{ name, service string }{
		{"all addresses", ":80"}, {"only 127.0.0.1", "127.0.0.1:80"}, {"only ::1", "[::1]:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ports, stop := l.in(t).service(Options{Publish: []PortMap{{Container: 80, Proto: "tcp"}}, User: "900"}, "tcp", tt.service)
			if len(ports) != 1 || ports[0].Host == 0 || ports[0].Container != 80 {
				t.Fatalf("published %v", ports)
			}
			var g errgroup.Group
			for i := range 100 {
				g.Go(func() error { return echo(hostAddr(ports[0]), i*4099, byte(i)) })
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			if got := stop(); got.err != nil {
				t.Error(got)
			}
			if c, err := net.Dial("tcp", hostAddr(ports[0])); err == nil {
				c.Close()
				t.Error("the port is still open")
			}
		})
	}
}

// A connection that is open when the instance ends does not keep it; an idle client neither.
func TestPublishEndsWithClients(t *testing.T) {
	l := newLab(t)
	ports, stop := l.service(Options{Publish: []PortMap{{Container: 80, Proto: "tcp"}}}, "tcp", ":80")
	c, err := net.Dial("tcp", hostAddr(ports[0]))
	must(t, err)
	defer c.Close()
	_, err = c.Write([]byte("x"))
	must(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	must(t, err)
	stop()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from an instance that is gone", n)
	}
}

// What the instance has sent before it ended arrives.
func TestPublishLastWords(t *testing.T) {
	l := newLab(t)
	ports, stop := l.service(Options{Publish: []PortMap{{Container: 80, Proto: "tcp"}}}, "say-and-exit", ":80")
	c, err := net.Dial("tcp", hostAddr(ports[0]))
	must(t, err)
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); n != 1<<20 || err != nil {
		t.Errorf("got %d bytes, %v; want %d", n, err, 1<<20)
	}
	stop()
}

func TestPublishNobodyThere(t *testing.T) {
	l := newLab(t)
	ports, _ := l.service(Options{Publish: []PortMap{{Container: 81, Proto: "tcp"}}}, "tcp", ":80")
	c, err := net.Dial("tcp", hostAddr(ports[0]))
	if errors.Is(err, syscall.ECONNRESET) {
		return // it was faster than Dial
	}
	must(t, err)
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from nobody", n)
	}
}

func TestPublishUDP(t *testing.T) {
	l := newLab(t)
	ports, _ := l.service(Options{Publish: []PortMap{{Container: 53, Proto: "udp"}}}, "udp", ":53")
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			for _, size := range []int{0, 1, 1400} { // all at once must fit in a socket's buffer
				if err := echoDatagram(hostAddr(ports[0]), size, byte(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := errors.Join(g.Wait(), echoDatagram(hostAddr(ports[0]), 60000, 7)); err != nil {
		t.Error(err)
	}
}

func echoDatagram(addr string, size int, seed byte) error {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := bytes.Repeat([]byte{seed}, size)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	buf := make([]byte, maxDatagram)
	n, err := c.Read(buf)
	if err != nil || !bytes.Equal(buf[:n], sent) {
		return fmt.Errorf("got %d bytes back of %d, %v", n, size, err)
	}
	return nil
}

func TestPublishAll(t *testing.T) {
	l := newLab(t)
	l.image.Config.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}, "53/udp": {}, "8080": {}}
	ports, _ := l.service(Options{PublishAll: true, Publish: []PortMap{{IP: netip.MustParseAddr("127.0.0.2"), Container: 8080, Proto: "tcp"}}}, "tcp", ":80")
	var got []string
	for _, p := range ports {
		if p.Host == 0 {
			t.Errorf("no port for %v", p)
		}
		got = append(got, fmt.Sprintf("%v %d %s", p.address(), p.Container, p.Proto))
	}
	slices.Sort(got)
	if want := []string{"127.0.0.1 53 udp", "127.0.0.1 80 tcp", "127.0.0.2 8080 tcp"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A port that is taken is refused before anything is there, and so is one that nobody may have.
func TestPublishRefused(t *testing.T) {
	l := newLab(t)
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	for _, tt := range []struct {
		port PortMap
		want string
	}{
		{PortMap{Host: uint16(tcp.Addr().(*net.TCPAddr).Port), Container: 80, Proto: "tcp"}, "is taken"},
		{PortMap{Host: uint16(udp.LocalAddr().(*net.UDPAddr).Port), Container: 80, Proto: "udp"}, "is taken"},
		{PortMap{IP: netip.MustParseAddr("192.0.2.1"), Container: 80, Proto: "tcp"}, "this machine has no address 192.0.2.1"},
	} {
		free := PortMap{Container: 81, Proto: "tcp"} // is given back
		got := l.run(Options{Publish: []PortMap{free, tt.port}}, "exit", "0")
		if got.err == nil || !strings.Contains(got.err.Error(), tt.want) || !strings.HasPrefix(got.err.Error(), "publish 1") {
			t.Errorf("%v: got %+v, want %q", tt.port, got, tt.want)
		}
	}
}

func TestParsePort(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"80", "127.0.0.1:0:80/tcp"},
		{"8080:80", "127.0.0.1:8080:80/tcp"},
		{":80", "127.0.0.1:0:80/tcp"},
		{"0:80/udp", "127.0.0.1:0:80/udp"},
		{"0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"},
		{"10.0.0.1::80", "10.0.0.1:0:80/tcp"},
		{"[::1]:5353:53/udp", "[::1]:5353:53/udp"},
		{"[127.0.0.1]:1:2", "127.0.0.1:1:2/tcp"},
		{"", ""}, {"x", ""}, {"0", ""}, {"65536", ""}, {"1:2:3", ""}, {"80/sctp", ""}, {"70000:80", ""},
		{"::1:80:80", ""}, {"[::1:80:80", ""}, {"-1", ""}, {"80:", ""}, {"a:b:c:80", ""},
	} {
		p, err := ParsePort(tt.in)
		got := ""
		if err == nil {
			got = p.String()
		}
		if got != tt.want {
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// What String prints, ParsePort reads.
func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"80", "8080:80/udp", "[::1]:1:2", "1.2.3.4::5", "[fe80::1%eth0]:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePort(s)
		if err != nil {
			return
		}
		again, err := ParsePort(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("%q: %v, and again %v, %v", s, p, again, err)
		}
	})
}
