package rootfs

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"io"

	"brickyard/internal/tree"
)

// javaKeystore is where ca-certificates-java puts the certificates of authorities for Java, and javaPassword is what it
// is sealed with, on every Debian.
const javaKeystore, javaPassword = "etc/ssl/certs/java/cacerts", "changeit"

// dateKeystore sets the times in Java's keystore, at which each certificate was put in, to that of the epoch.
func (b *Builder) dateKeystore(layer tree.Tree) error {
	e, ok := layer[javaKeystore]
	if !ok || e.Type != tree.Regular {
		return nil
	}
	data, err := b.content(e)
	if err != nil || !dateJKS(data, javaPassword, b.Epoch*1000) {
		return err
	}
	e.Hard = ""
	if err := b.Store.AddFile(&e, bytes.NewReader(data), nil); err != nil {
		return err
	}
	layer[javaKeystore] = e
	return nil
}

// dateJKS sets the times of all entries of a keystore in Java's own format to at, in milliseconds, and seals it anew. It
// returns false, with data as it was, for what is no such keystore, is sealed with another password, or holds more than
// certificates: that is not what a package made.
//
// The format is (all numbers with the highest byte first): the magic FEEDFEED, version 2, how many entries; for each its
// kind, alias, time, kind of certificate and certificate; the SHA-1 of password, a phrase, and all that.
func dateJKS(data []byte, password string, at int64) bool {
	if len(data) < 12+sha1.Size {
		return false
	}
	body, seal := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
	if !bytes.HasPrefix(body, []byte("\xfe\xed\xfe\xed\x00\x00\x00\x02")) || !bytes.Equal(seal, sealJKS(body, password)) {
		return false
	}
	dates, ok := datesJKS(body[8:])
	if !ok {
		return false
	}
	for _, d := range dates {
		binary.BigEndian.PutUint64(d, uint64(at))
	}
	copy(seal, sealJKS(body, password))
	return true
}

func sealJKS(body []byte, password string) []byte {
	h := sha1.New()
	for _, c := range []byte(password) {
		h.Write([]byte{0, c}) // UTF-16
	}
	io.WriteString(h, "Mighty Aphrodite")
	h.Write(body)
	return h.Sum(nil)
}

// datesJKS finds the times of the entries, eight bytes each, if all are certificates.
func datesJKS(body []byte) (dates [][]byte, ok bool) {
	take := func(n uint64) []byte {
		if n > uint64(len(body)) {
			body = nil
			return nil
		}
		out := body[:n]
		body = body[n:]
		return out
	}
	number := func(size uint64) (n uint64) {
		for _, c := range take(size) {
			n = n<<8 | uint64(c)
		}
		return n
	}
	const certificate = 2
	for n := number(4); n > 0; n-- {
		if number(4) != certificate {
			return nil, false
		}
		take(number(2)) // alias
		date := take(8)
		take(number(2)) // "X.509"
		if cert := take(number(4)); date == nil || cert == nil {
			return nil, false
		}
		dates = append(dates, date)
	}
	return dates, len(body) == 0
}
