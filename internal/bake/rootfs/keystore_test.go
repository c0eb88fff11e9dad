package rootfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"brickyard/internal/tree"
)

// keystore makes one of Java's with certificates that were put in at the time, in milliseconds.
func keystore(password string, kind uint32, at uint64, certs ...string) []byte {
	w := []byte("\xfe\xed\xfe\xed\x00\x00\x00\x02")
	w = binary.BigEndian.AppendUint32(w, uint32(len(certs)))
	text := func(s string) { w = append(binary.BigEndian.AppendUint16(w, uint16(len(s))), s...) }
	for i, c := range certs {
		w = binary.BigEndian.AppendUint32(w, kind)
		text(fmt.Sprint("debian:", i))
		w = binary.BigEndian.AppendUint64(w, at)
		text("X.509")
		w = append(binary.BigEndian.AppendUint32(w, uint32(len(c))), c...)
	}
	return append(w, sealJKS(w, password)...)
}

// A keystore of certificates comes to be the one that was made at the epoch; what is anything else stays.
func TestDateJKS(t *testing.T) {
	const epoch = 1_700_000_000_000
	certs := []string{"one", "", strings.Repeat("two", 1000)}
	want := keystore(javaPassword, 2, epoch, certs...)
	if got := keystore(javaPassword, 2, 12345, certs...); !dateJKS(got, javaPassword, epoch) || !bytes.Equal(got, want) {
		t.Errorf("got\n%x\nwant\n%x", got, want)
	}
	sealed := func(body []byte) []byte { return append(body, sealJKS(body, javaPassword)...) }
	good := keystore(javaPassword, 2, 12345, certs...)
	for name, data := range map[string][]byte{
		"nothing":           nil,
		"text":              []byte(strings.Repeat("not a keystore ", 10)),
		"another password":  keystore("secret", 2, 12345, certs...),
		"a private key":     keystore(javaPassword, 1, 12345, certs...),
		"cut":               good[:len(good)-1],
		"cut and sealed":    sealed(bytes.Clone(good[:len(good)-30])),
		"more than it says": sealed(bytes.Clone(good[:len(good)-19])),
	} {
		was := bytes.Clone(data)
		if dateJKS(data, javaPassword, epoch) || !bytes.Equal(data, was) {
			t.Errorf("%s: taken for a keystore, or changed", name)
		}
	}
}

// What a script writes to Java's keystore has the time of the epoch in it.
func TestDateKeystore(t *testing.T) {
	b, _ := placedRoot(t)
	b.Epoch = 1_700_000_000
	layer := tree.Tree{}
	data := keystore(javaPassword, 2, 12345, "one")
	e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: int64(len(data))}
	if err := b.Store.AddFile(&e, bytes.NewReader(data), nil); err != nil {
		t.Fatal(err)
	}
	layer[javaKeystore] = e
	if err := b.dateKeystore(layer); err != nil {
		t.Fatal(err)
	}
	got, err := b.content(layer[javaKeystore])
	if err != nil {
		t.Fatal(err)
	}
	if want := keystore(javaPassword, 2, 1_700_000_000_000, "one"); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
