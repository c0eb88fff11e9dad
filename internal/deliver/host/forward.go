package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// publisher listens on this machine for an instance and passes on what comes. It needs no rules in the
// kernel and no device, so nothing of it can be left behind, and it works for ordinary users.
type publisher struct {
	tcp []tcpPort
	udp []udpPort
}

type tcpPort struct {
	PortMap
	*net.TCPListener
}

type udpPort struct {
	PortMap
	*net.UDPConn
}

// publish takes the ports, or none. Nothing is accepted before serve.
func publish(ctx context.Context, ports []PortMap) (*publisher, error) {
	p := new(publisher)
	for _, m := range ports {
		if err := p.listen(ctx, m); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

func (p *publisher) listen(ctx context.Context, m PortMap) error {
	network := m.Proto + "4"
	if m.address().Is6() {
		network = m.Proto + "6"
	}
	addr := netip.AddrPortFrom(m.address(), m.Host).String()
	var err error
	var lc net.ListenConfig
	if m.Proto == "udp" {
		var c net.PacketConn
		if c, err = lc.ListenPacket(ctx, network, addr); err == nil {
			m.Host = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			p.udp = append(p.udp, udpPort{m, c.(*net.UDPConn)})
		}
	} else {
		var l net.Listener
		if l, err = lc.Listen(ctx, network, addr); err == nil {
			m.Host = l.Addr().(*net.TCPAddr).AddrPort().Port()
			p.tcp = append(p.tcp, tcpPort{m, l.(*net.TCPListener)})
		}
	}
	return m.explain(err)
}

func (p PortMap) explain(err error) error {
	why := fmt.Sprintf("publish %s", p)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return hinted(fmt.Sprintf("see who has it: ss -lnp 'sport = :%d'; or take another port", p.Host),
			"%s: port %d of %s is taken", why, p.Host, p.address())
	case errors.Is(err, syscall.EACCES):
		return hinted("take one from 1024 up, or: sysctl net.ipv4.ip_unprivileged_port_start=0",
			"%s: ports below 1024 are root's", why)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: this machine has no address %s", why, p.address())
	}
	return fmt.Errorf("%s: %w", why, err)
}

// ports are those that are listened on.
func (p *publisher) ports() []PortMap {
	var ms []PortMap
	for _, t := range p.tcp {
		ms = append(ms, t.PortMap)
	}
	for _, u := range p.udp {
		ms = append(ms, u.PortMap)
	}
	return ms
}

func (p *publisher) close() {
	for _, t := range p.tcp {
		t.Close()
	}
	for _, u := range p.udp {
		u.Close()
	}
}

// serve passes on until ctx is done, then takes no more, sees that clients get what the instance has
// sent, and closes everything.
func (p *publisher) serve(ctx context.Context, ns *netns) {
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	var wg sync.WaitGroup
	for _, t := range p.tcp {
		wg.Go(func() { t.serve(ctx, ns) })
	}
	for _, u := range p.udp {
		wg.Go(func() { u.serve(ns) })
	}
	wg.Wait()
}

// acceptPause is how long to wait for descriptors to come free when there are none.
const acceptPause = 50 * time.Millisecond

func (t tcpPort) serve(ctx context.Context, ns *netns) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := t.AcceptTCP()
		switch {
		case err == nil:
			wg.Go(func() { forward(ctx, client, ns, t.Container) })
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptPause):
			}
		}
	}
}

// lastWords is how long a client has to take what an instance that has ended sent it.
const lastWords = 2 * time.Second

// forward connects client with the instance. When one side says that it has sent all, the other is told so.
func forward(ctx context.Context, client *net.TCPConn, ns *netns, port uint16) {
	defer client.Close()
	conn, err := ns.dial(unix.SOCK_STREAM, port)
	if err != nil {
		_ = client.SetLinger(0) // a reset: the nearest to "connection refused" that is left
		return
	}
	service := conn.(*net.TCPConn)
	defer service.Close()
	stop := context.AfterFunc(ctx, func() {
		client.SetReadDeadline(time.Now())
		client.SetWriteDeadline(time.Now().Add(lastWords))
	})
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pour(ctx, service, client) })
	pour(ctx, client, service)
	wg.Wait()
}

// pour copies, in the kernel (splice(2)), all that src sends to dst. After an error neither can go on;
// but when ctx is done, an error of one direction is only its end.
func pour(ctx context.Context, dst, src *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil && ctx.Err() == nil {
		_ = dst.SetLinger(0)
		dst.Close()
		src.Close()
		return
	}
	dst.CloseWrite()
}

// udpIdle is how long a client's datagrams come from the same port of the instance's side when none
// comes or goes.
const udpIdle = 90 * time.Second

// maxDatagram is the most that a UDP datagram can hold, in bytes.
const maxDatagram = 65535

// serve passes on datagrams until u is closed. Each client has a socket of its own on the instance's
// side, which is how answers find back.
func (u udpPort) serve(ns *netns) {
	var wg sync.WaitGroup
	defer wg.Wait()
	peers := udpPeers{conns: map[netip.AddrPort]net.Conn{}}
	defer peers.close()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := u.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a datagram sent before: its receiver is gone
		}
		peer, ok := peers.get(from)
		if !ok {
			if peer, err = ns.dial(unix.SOCK_DGRAM, u.Container); err != nil {
				continue
			}
			peers.put(from, peer)
			wg.Go(func() {
				u.answer(peer, from)
				peers.drop(from)
			})
		}
		_ = peer.SetReadDeadline(time.Now().Add(udpIdle))
		_, _ = peer.Write(buf[:n]) // nobody listening yet is as good as lost, which datagrams may get
	}
}

// answer passes back what the instance sends to one client.
func (u udpPort) answer(peer net.Conn, client netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := peer.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue // nobody listens yet
		}
		if err != nil {
			return
		}
		_ = peer.SetReadDeadline(time.Now().Add(udpIdle))
		_, _ = u.WriteToUDPAddrPort(buf[:n], client)
	}
}

// udpPeers are the sockets on the instance's side, by client.
type udpPeers struct {
	mu    sync.Mutex // guards conns
	conns map[netip.AddrPort]net.Conn
}

func (p *udpPeers) get(client netip.AddrPort) (net.Conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.conns[client]
	return c, ok
}

func (p *udpPeers) put(client netip.AddrPort, c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client] = c
}

func (p *udpPeers) drop(client netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client].Close()
	delete(p.conns, client)
}

func (p *udpPeers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}
