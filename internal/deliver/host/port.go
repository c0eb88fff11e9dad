package host

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A PortMap publishes a port of an instance on this machine.
type PortMap struct {
	IP        netip.Addr // of this machine; not valid: 127.0.0.1
	Host      uint16     // 0: any that is free
	Container uint16
	Proto     string // "tcp" or "udp"
}

// String is what ParsePort reads.
func (p PortMap) String() string {
	return fmt.Sprintf("%s:%d/%s", netip.AddrPortFrom(p.address(), p.Host), p.Container, p.Proto)
}

// address is where to listen: nobody else on the network gets in unless asked for.
func (p PortMap) address() netip.Addr {
	if p.IP.IsValid() {
		return p.IP
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// ParsePort reads [[IP:]HOST:]CONTAINER[/tcp|/udp]; an IPv6 address stands in brackets. Without HOST, or
// with 0, the port on this machine is one that is free.
func ParsePort(s string) (PortMap, error) {
	fail := func(what string) (PortMap, error) {
		return PortMap{}, hinted("[[IP:]HOST:]CONTAINER[/udp], as 8080:80, 0.0.0.0:8080:80 or [::1]:5353:53/udp",
			"port %q: %s", s, what)
	}
	ports, proto, given := strings.Cut(s, "/")
	if !given {
		proto = "tcp"
	}
	if proto != "tcp" && proto != "udp" {
		return fail("protocol " + strconv.Quote(proto) + " is neither tcp nor udp")
	}
	p := PortMap{Proto: proto}
	ip, ports := cutAddress(ports)
	var err error
	if ip != "" {
		if p.IP, err = netip.ParseAddr(ip); err != nil {
			return fail(strconv.Quote(ip) + " is no IP address")
		}
	}
	host, container, both := strings.Cut(ports, ":")
	if !both {
		host, container = "", ports
	}
	if host != "" {
		if p.Host, err = parsePortNumber(host); err != nil {
			return fail(strconv.Quote(host) + " is no port from 0 to 65535")
		}
	}
	if p.Container, err = parsePortNumber(container); err != nil || p.Container == 0 {
		return fail(strconv.Quote(container) + " is no port from 1 to 65535")
	}
	return p, nil
}

// cutAddress takes the address off [IP:]HOST:CONTAINER; "" for none.
func cutAddress(s string) (ip, rest string) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if ip, rest, ok := strings.Cut(inner, "]:"); ok {
			return ip, rest
		}
		return s, "" // and no address
	}
	if strings.Count(s, ":") == 2 {
		ip, rest, _ = strings.Cut(s, ":")
		return ip, rest
	}
	return "", s
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// ParseExposed reads a port as an image declares it: "80", "80/tcp", "53/udp" (image-spec, config.md,
// ExposedPorts).
func ParseExposed(s string) (PortMap, error) {
	if strings.Contains(s, ":") {
		return PortMap{}, fmt.Errorf("port %q of the image: not PORT or PORT/PROTOCOL", s)
	}
	return ParsePort(s)
}
