package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An ask is one question to a server, over its own protocol.
type ask struct {
	what string // for the page
	// do asks once. at gives the address of this machine where a port of the instance is, as "80" or "53/udp".
	do func(ctx context.Context, at func(port string) string) (answer string, err error)
}

// patience is how long a server has for one question.
const patience = 10 * time.Second

// dial connects to a port of the instance; it has patience for all that is then said.
func dial(ctx context.Context, at func(string) string, port string) (net.Conn, error) {
	network, wait := "tcp", patience
	if strings.HasSuffix(port, "/udp") {
		network, wait = "udp", 2*time.Second // a datagram may be lost, and one to a server that is not up yet is
	}
	c, err := (&net.Dialer{Timeout: wait}).DialContext(ctx, network, at(port))
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(wait))
}

// talk says and awaits, in turns: a step that begins with ">" is sent, one that begins with "<" is a regular
// expression that must match what came since something was sent last. Bytes above 127 are matched as \x{..}.
func talk(what, port string, steps ...string) ask {
	return ask{what, func(ctx context.Context, at func(string) string) (string, error) {
		c, err := dial(ctx, at, port)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return converse(c, steps)
	}}
}

// talkTLS is talk over TLS, with whatever certificate the server has.
func talkTLS(what, port string, steps ...string) ask {
	return ask{what, func(ctx context.Context, at func(string) string) (string, error) {
		c, err := dial(ctx, at, port)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return converse(tls.Client(c, &tls.Config{InsecureSkipVerify: true}), steps) // it is made when the server starts
	}}
}

// converse returns what the last expression matched.
func converse(c net.Conn, steps []string) (answer string, err error) {
	var heard string
	for _, step := range steps {
		if text, ok := strings.CutPrefix(step, ">"); ok {
			heard = ""
			if _, err := io.WriteString(c, text); err != nil {
				return "", err
			}
			continue
		}
		want, err := regexp.Compile(strings.TrimPrefix(step, "<"))
		if err != nil {
			return "", err
		}
		buf := make([]byte, 16<<10)
		for !want.MatchString(heard) {
			n, err := c.Read(buf)
			heard += latin1(buf[:n])
			if err != nil && !want.MatchString(heard) {
				return "", fmt.Errorf("answered %.200q, want %s: %w", heard, want, err)
			}
		}
		answer = want.FindString(heard)
	}
	return answer, nil
}

// latin1 makes a rune of each byte, so that expressions can match any.
func latin1(data []byte) string {
	runes := make([]rune, len(data))
	for i, b := range data {
		runes[i] = rune(b)
	}
	return string(runes)
}

// get asks for a page, which must have the status and match want in its header or body.
func get(port, path string, status int, want string) ask {
	return web("GET "+path, port, "GET", path, "", status, want)
}

func web(what, port, method, path, body string, status int, want string) ask {
	return ask{what, func(ctx context.Context, at func(string) string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 3*patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "http://"+at(port)+path, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Host = "localhost"
		client := http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy of this machine's
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return "", err
		}
		var text strings.Builder
		res.Header.Write(&text) // cannot fail
		text.WriteString("\n" + latin1(data))
		got := regexp.MustCompile(want).FindString(text.String())
		if res.StatusCode != status || got == "" && want != "" {
			return "", fmt.Errorf("answered %s %.300q, want %d and %s", res.Status, text.String(), status, want)
		}
		return res.Status + ": " + got, nil
	}}
}

// query asks a name server for the address of name, over UDP, which must be among the answers.
func query(port, name string, want [4]byte) ask {
	msg := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0} // RFC 1035, 4.1.1: an id, recursion desired, one question
	for label := range strings.SplitSeq(name, ".") {
		msg = append(append(msg, byte(len(label))), label...)
	}
	msg = append(msg, 0, 0, 1, 0, 1) // the root; type A, class IN
	return ask{"DNS: A " + name, func(ctx context.Context, at func(string) string) (string, error) {
		c, err := dial(ctx, at, port)
		if err != nil {
			return "", err
		}
		defer c.Close()
		if _, err := c.Write(msg); err != nil {
			return "", err
		}
		buf := make([]byte, 1500)
		n, err := c.Read(buf)
		if err != nil {
			return "", err
		}
		got := buf[:n]
		if n < len(msg) || got[0] != 0x12 || got[1] != 0x34 || got[2]&0x80 == 0 || got[3]&15 != 0 || binary.BigEndian.Uint16(got[6:]) == 0 {
			return "", fmt.Errorf("answered %x, want one without error", got)
		}
		if !strings.Contains(string(got[len(msg):]), "\x00\x04"+string(want[:])) {
			return "", fmt.Errorf("answered %x, want %v in it", got, want)
		}
		return net.IP(want[:]).String(), nil
	}}
}

// fastCGI asks for a script.
func fastCGI(port, script, want string) ask {
	record := func(kind byte, body string) string { // FastCGI 1.0, 3.3; request 1
		return string([]byte{1, kind, 0, 1, byte(len(body) >> 8), byte(len(body)), 0, 0}) + body
	}
	var params strings.Builder
	for _, p := range [][2]string{{"SCRIPT_FILENAME", script}, {"REQUEST_METHOD", "GET"}, {"SCRIPT_NAME", script}} {
		params.WriteString(string([]byte{byte(len(p[0])), byte(len(p[1]))}) + p[0] + p[1])
	}
	const begin, param, stdin = 1, 4, 5
	return talk("FastCGI: "+script, port,
		">"+record(begin, "\x00\x01\x00\x00\x00\x00\x00\x00")+record(param, params.String())+record(param, "")+record(stdin, ""), "<"+want)
}

// postgres says hello as user postgres: the server asks for a password.
func postgres(port string) ask {
	hello := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	return talk("PostgreSQL: startup", port, ">"+prefixed(len(hello)+4)+hello, `<(?s)^R....\x00\x00\x00\nSCRAM-SHA-256`)
}

// prefixed is a length as protocols have it: four bytes, the highest first.
func prefixed(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// smb offers SMB 2.0.2 and 2.1 ([MS-SMB2], 2.2.1 and 2.2.3).
func smb(port string) ask {
	header := "\xfeSMB\x40\x00" + strings.Repeat("\x00", 8) + "\x01\x00" + strings.Repeat("\x00", 48)
	body := "\x24\x00\x02\x00\x01\x00" + strings.Repeat("\x00", 30) + "\x02\x02\x10\x02"
	return talk("SMB: negotiate", port, ">"+prefixed(len(header+body))+header+body, `<(?s)^....\x{fe}SMB\x40\x00..\x00\x00\x00\x00\x00\x00`)
}

// cups asks for all printers (RFC 8010, 3; CUPS-Get-Printers): there are none.
func cups(port string) ask {
	attribute := func(tag byte, name, value string) string {
		return string([]byte{tag, 0, byte(len(name))}) + name + string([]byte{0, byte(len(value))}) + value
	}
	body := "\x02\x00\x40\x02\x00\x00\x00\x01\x01" + attribute(0x47, "attributes-charset", "utf-8") +
		attribute(0x48, "attributes-natural-language", "en") + "\x03"
	return talk("IPP: CUPS-Get-Printers", port, ">POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ipp\r\nContent-Length: "+
		strconv.Itoa(len(body))+"\r\n\r\n"+body, `<(?s)^HTTP/1.1 200 OK.*\r\n\r\n\x02\x00\x04\x06`) // client-error-not-found
}

// radius asks whether a user may come in, with the secret that Debian's FreeRADIUS has for this machine's clients (RFC
// 2865, 5.2; RFC 2869, 5.14).
func radius(port, user, password, want string) ask {
	const secret = "testing123"
	auth := strings.Repeat("soak", 4)
	mask := md5.Sum([]byte(secret + auth))
	hidden := make([]byte, md5.Size)
	copy(hidden, password)
	for i := range hidden {
		hidden[i] ^= mask[i]
	}
	attributes := "\x01" + string([]byte{byte(len(user) + 2)}) + user + "\x02\x12" + string(hidden)
	head := "\x01\x01" + string(binary.BigEndian.AppendUint16(nil, uint16(20+len(attributes)+18))) + auth + attributes + "\x50\x12"
	mac := hmac.New(md5.New, []byte(secret))
	io.WriteString(mac, head+strings.Repeat("\x00", 16))
	return datagram("RADIUS: Access-Request", port, head+string(mac.Sum(nil)), want)
}

// datagram sends one and awaits one, which must match.
func datagram(what, port, send, want string) ask {
	return talk(what, port, ">"+send, "<"+want)
}

// both asks one thing after the other.
func both(a, b ask) ask {
	return ask{a.what + ", then " + b.what, func(ctx context.Context, at func(string) string) (string, error) {
		if _, err := a.do(ctx, at); err != nil {
			return "", err
		}
		return b.do(ctx, at)
	}}
}

// free finds a port of this machine that nobody has.
func free(port string) (string, error) {
	if strings.HasSuffix(port, "/udp") {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		return strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port), c.Close()
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}

var errEnded = errors.New("it ended by itself")
