package apttest

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 that it is not used any more is what a test is about
	"crypto/rand"
	_ "crypto/sha1" // for signatures that nobody should believe
	"encoding/hex"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Key names one of the fixed OpenPGP test keys (version 4, Ed25519 unless said otherwise). Those of Ed25519 are
// made from a seed in this file: everybody has their secret halves, and nothing but a test may ever trust one.
type Key int

// The test keys.
const (
	TestKey       Key = iota // signs unless said otherwise
	OtherKey                 // just as good, but not in Keyring
	ExpiredKey               // expired on 2024-07-01; it signs before
	SubKey                   // its primary key certifies only what signs: a subkey
	RevokedKey               // revoked, as superseded, on 2024-07-01; it signs before
	ExpiredSubKey            // as SubKey, but the subkey expired on 2024-07-01; it signs before
	RevokedSubKey            // as SubKey, but the subkey was revoked on 2024-07-01; it signs before
	CertifyKey               // says that it is for certifying only, and signs all the same
	PlainKey                 // says nothing of what it is for, as keys of old
	ShortKey                 // RSA of 1024 bits, another one in every process
	DSAKey                   // DSA of 1024 bits, another one in every process
	numKeys
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
func (k Key) Fingerprint() string { return fingerprint(k.entity().PrimaryKey) }

// SigningFingerprint returns that of the key that signs, which is a subkey of some.
func (k Key) SigningFingerprint() string { return fingerprint(&k.signer().PublicKey) }

func fingerprint(pk *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(pk.Fingerprint))
}

var (
	keyStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	keyEnd   = time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC) // of those that expired or were revoked
	entities = makeEntities()
)

// makeEntities returns for every key what makes it, when it is first asked for.
func makeEntities() (list [numKeys]func() *openpgp.Entity) {
	for k := range list {
		list[k] = sync.OnceValue(func() *openpgp.Entity { return newEntity(Key(k)) })
	}
	return list
}

func (k Key) entity() *openpgp.Entity { return entities[k]() }

// signer returns the secret half of what signs: the subkey, if there is one.
func (k Key) signer() *packet.PrivateKey {
	e := k.entity()
	if len(e.Subkeys) > 0 {
		return e.Subkeys[0].PrivateKey
	}
	return e.PrivateKey
}

func newEntity(k Key) *openpgp.Entity {
	cfg := keyConfig(k, keyStart)
	lifetime := uint32(keyEnd.Sub(keyStart) / time.Second)
	switch k {
	case ExpiredKey:
		cfg.KeyLifetimeSecs = lifetime
	case ShortKey:
		cfg.Algorithm, cfg.RSABits = packet.PubKeyAlgoRSA, 1024
	}
	name := "Brickyard TEST key " + fmt.Sprint(int(k))
	e, err := openpgp.NewEntity(name, "not for use", "test@archive.example", cfg)
	must(err)
	e.Subkeys = nil // no key to encrypt with
	revoked := keyConfig(k, keyEnd)
	switch k {
	case SubKey:
		must(e.AddSigningSubkey(cfg))
	case ExpiredSubKey:
		cfg.KeyLifetimeSecs = lifetime
		must(e.AddSigningSubkey(cfg))
	case RevokedSubKey:
		must(e.AddSigningSubkey(cfg))
		must(e.RevokeSubkey(&e.Subkeys[0], packet.KeySuperseded, "", revoked))
	case RevokedKey:
		must(e.RevokeKey(packet.KeySuperseded, "", revoked))
	case CertifyKey, PlainKey:
		changeSelfSignature(e, cfg, func(s *packet.Signature) {
			s.FlagsValid, s.FlagSign = k == CertifyKey, false
		})
	case DSAKey:
		e.PrivateKey = newDSA()
		e.PrimaryKey = &e.PrivateKey.PublicKey
		changeSelfSignature(e, cfg, func(s *packet.Signature) {
			s.PubKeyAlgo, s.IssuerKeyId, s.IssuerFingerprint = e.PrimaryKey.PubKeyAlgo, &e.PrimaryKey.KeyId, e.PrimaryKey.Fingerprint
		})
	}
	return e
}

// changeSelfSignature makes the signature of a key over its user id anew.
func changeSelfSignature(e *openpgp.Entity, cfg *packet.Config, change func(*packet.Signature)) {
	for name, id := range e.Identities {
		change(id.SelfSignature)
		must(id.SelfSignature.SignUserId(name, e.PrimaryKey, e.PrivateKey, cfg))
	}
}

func newDSA() *packet.PrivateKey {
	var key dsa.PrivateKey
	must(dsa.GenerateParameters(&key.Parameters, rand.Reader, dsa.L1024N160))
	must(dsa.GenerateKey(&key, rand.Reader))
	return packet.NewDSAPrivateKey(keyStart, &key)
}

// keyConfig makes everything that follows from a key of Ed25519 the same on every run.
func keyConfig(k Key, now time.Time) *packet.Config {
	fixed := false
	return &packet.Config{
		Rand:      mathrand.NewChaCha8([32]byte{'T', 'E', 'S', 'T', byte(k)}),
		Time:      func() time.Time { return now },
		Algorithm: packet.PubKeyAlgoEdDSA,
		Curve:     packet.Curve25519,

		NonDeterministicSignaturesViaNotation: &fixed,
	}
}

// A signing is how signatures are made.
type signing struct {
	keys     []Key
	at       time.Time
	hash     crypto.Hash   // 0: SHA-256
	lifetime time.Duration // 0: for ever
}

// clear returns text as an InRelease file (RFC 9580, 7). The last end of line is not signed.
func (s signing) clear(text []byte) []byte {
	var b bytes.Buffer
	b.WriteString("-----BEGIN PGP SIGNED MESSAGE-----\nHash: " + strings.ReplaceAll(s.hashOrDefault().String(), "-", "") + "\n\n")
	for line := range bytes.Lines(text) {
		if line[0] == '-' {
			b.WriteString("- ")
		}
		b.Write(line)
	}
	b.Write(s.detached(packet.SigTypeText, bytes.TrimSuffix(text, []byte("\n"))))
	return b.Bytes()
}

// detached returns a Release.gpg file for text.
func (s signing) detached(kind packet.SignatureType, text []byte) []byte {
	var packets bytes.Buffer
	for _, k := range s.keys {
		must(s.sign(k, kind, text).Serialize(&packets))
	}
	return armored(openpgp.SignatureType, packets.Bytes())
}

func (s signing) hashOrDefault() crypto.Hash {
	if s.hash == 0 {
		return crypto.SHA256
	}
	return s.hash
}

// sign signs whatever a key is fit for, but before it ended.
func (s signing) sign(k Key, kind packet.SignatureType, text []byte) *packet.Signature {
	at := s.at
	if slices.Contains([]Key{ExpiredKey, RevokedKey, ExpiredSubKey, RevokedSubKey}, k) && !at.Before(keyEnd) {
		at = keyEnd.Add(-time.Hour)
	}
	key, cfg := k.signer(), keyConfig(k, at)
	sig := &packet.Signature{
		Version: 4, SigType: kind, PubKeyAlgo: key.PubKeyAlgo, Hash: s.hashOrDefault(), CreationTime: at,
		IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint,
	}
	if s.lifetime > 0 {
		seconds := uint32(s.lifetime / time.Second)
		sig.SigLifetimeSecs = &seconds
	}
	h, err := sig.PrepareSign(cfg)
	must(err)
	w := h
	if kind == packet.SigTypeText {
		w = openpgp.NewCanonicalTextHash(h)
	}
	w.Write(text)
	must(sig.Sign(h, key, cfg))
	return sig
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
