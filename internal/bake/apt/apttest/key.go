package apttest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Key names one of the fixed OpenPGP test keys (Ed25519, version 4). They are made from a seed in this file:
// everybody has their secret halves, and nothing but a test may ever trust one.
type Key int

// The test keys.
const (
	TestKey    Key = iota // signs unless said otherwise
	OtherKey              // just as good, but not in Keyring
	ExpiredKey            // expired on 2024-07-01
	SubKey                // its primary key certifies only what signs: a subkey
)

// Keyring returns TestKey's public half, not armored, as apt takes it from a file NAME.gpg.
func Keyring() []byte { return TestKey.Public() }

// ArmoredKeyring returns TestKey's public half as text, as apt takes it from a file NAME.asc.
func ArmoredKeyring() []byte { return TestKey.Armored() }

// Public returns the key's public half, not armored.
func (k Key) Public() []byte {
	var b bytes.Buffer
	must(k.entity().Serialize(&b))
	return b.Bytes()
}

// Armored returns the key's public half as text.
func (k Key) Armored() []byte {
	return armored(openpgp.PublicKeyType, k.Public())
}

// Fingerprint returns that of the primary key: 40 upper-case hex digits.
func (k Key) Fingerprint() string {
	return strings.ToUpper(hex.EncodeToString(k.entity().PrimaryKey.Fingerprint))
}

var (
	keyStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	keyEnd   = time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC) // of ExpiredKey
	entities = [...]func() *openpgp.Entity{
		TestKey:    sync.OnceValue(func() *openpgp.Entity { return newEntity(TestKey) }),
		OtherKey:   sync.OnceValue(func() *openpgp.Entity { return newEntity(OtherKey) }),
		ExpiredKey: sync.OnceValue(func() *openpgp.Entity { return newEntity(ExpiredKey) }),
		SubKey:     sync.OnceValue(func() *openpgp.Entity { return newEntity(SubKey) }),
	}
)

func (k Key) entity() *openpgp.Entity { return entities[k]() }

func newEntity(k Key) *openpgp.Entity {
	cfg := keyConfig(k, keyStart)
	if k == ExpiredKey {
		cfg.KeyLifetimeSecs = uint32(keyEnd.Sub(keyStart) / time.Second)
	}
	e, err := openpgp.NewEntity("Brickyard TEST key "+fmt.Sprint(int(k)), "not for use", "test@archive.example", cfg)
	must(err)
	e.Subkeys = nil // no key to encrypt with
	if k == SubKey {
		must(e.AddSigningSubkey(cfg))
	}
	return e
}

// keyConfig makes everything that follows from a key the same on every run.
func keyConfig(k Key, now time.Time) *packet.Config {
	fixed := false
	return &packet.Config{
		Rand:      rand.NewChaCha8([32]byte{'T', 'E', 'S', 'T', byte(k)}),
		Time:      func() time.Time { return now },
		Algorithm: packet.PubKeyAlgoEdDSA,
		Curve:     packet.Curve25519,

		NonDeterministicSignaturesViaNotation: &fixed,
	}
}

// signConfig is for a signature made at the time at, or just before the key expired.
func signConfig(k Key, at time.Time) *packet.Config {
	if k == ExpiredKey && !at.Before(keyEnd) {
		at = keyEnd.Add(-time.Hour)
	}
	return keyConfig(k, at)
}

// clearSign returns text as an InRelease file.
func clearSign(text []byte, keys []Key, at time.Time) []byte {
	var private []*packet.PrivateKey
	for _, k := range keys {
		key, ok := k.entity().SigningKey(signConfig(k, at).Now())
		if !ok {
			panic(fmt.Sprintf("apttest: key %d can't sign at %s", k, at))
		}
		private = append(private, key.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, signConfig(keys[0], at))
	must(err)
	_, err = w.Write(text)
	must(err)
	must(w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

// detachSign returns a Release.gpg file for text.
func detachSign(text []byte, keys []Key, at time.Time) []byte {
	var b bytes.Buffer
	for _, k := range keys {
		must(openpgp.DetachSign(&b, k.entity(), bytes.NewReader(text), signConfig(k, at)))
	}
	return armored(openpgp.SignatureType, b.Bytes())
}

func armored(kind string, data []byte) []byte {
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	must(err)
	_, err = io.Copy(w, bytes.NewReader(data))
	must(err)
	must(w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

// must is for what fails only when this package is wrong.
func must(err error) {
	if err != nil {
		panic("apttest: " + err.Error())
	}
}
