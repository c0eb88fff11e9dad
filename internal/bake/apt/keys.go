package apt

import (
	"bytes"
	"crypto"
	"crypto/sha1" // what fingerprints are, nothing else
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Keyring is the OpenPGP public keys that a source may be signed with. The zero value trusts nobody.
type Keyring struct {
	keys     []trustedKey
	from     []string // where the keys are from, for messages
	problems []error  // key files that could not be read
}

// A trustedKey is a primary key with its subkeys.
type trustedKey struct {
	*openpgp.Entity
	only []string // as Signed-By names them: fingerprints, lower-case, some with "!"; nil: any of its keys may sign
}

// allows says whether the key with the fingerprint, the primary one or a subkey, may sign: a fingerprint stands for
// the key and, if it is of the primary key and without "!", for its subkeys (sources.list(5), Signed-By).
func (k trustedKey) allows(signing string) bool {
	return k.only == nil || slices.Contains(k.only, signing) || slices.Contains(k.only, signing+"!") ||
		slices.Contains(k.only, fingerprint(k.PrimaryKey))
}

// fingerprint is in lower-case hex digits.
func fingerprint(k *packet.PublicKey) string { return hex.EncodeToString(k.Fingerprint) }

const (
	armorStart = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	minRSABits = 2048 // apt 2.6 takes shorter ones and DSA, later ones don't
)

// strongHashes are the digests that a signature may be over.
var strongHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

// ReadKeys reads OpenPGP public keys, binary or armored, several blocks too. name says where data is from.
func ReadKeys(name string, data []byte) (Keyring, error) {
	k := Keyring{from: []string{name}}
	if len(data) > 12 && string(data[8:12]) == "KBXf" {
		return Keyring{}, fmt.Errorf("keys %s: a GnuPG keybox, not an OpenPGP key ring", name)
	}
	if !bytes.Contains(data, []byte(armorStart)) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return Keyring{}, fmt.Errorf("keys %s: %w", name, err)
		}
		k.add(keys)
		return k, nil
	}
	for _, block := range bytes.Split(data, []byte(armorStart))[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(io.MultiReader(strings.NewReader(armorStart), bytes.NewReader(block)))
		if err != nil {
			return Keyring{}, fmt.Errorf("keys %s: %w", name, err)
		}
		k.add(keys)
	}
	return k, nil
}

func (k *Keyring) add(keys openpgp.EntityList) {
	for _, e := range keys {
		k.keys = append(k.keys, trustedKey{Entity: e})
	}
}

// Merge returns the keys of k and others together.
func (k Keyring) Merge(others ...Keyring) Keyring {
	k.keys, k.from, k.problems = slices.Clone(k.keys), slices.Clone(k.from), slices.Clone(k.problems)
	for _, o := range others {
		k.keys = append(k.keys, o.keys...)
		k.from = append(k.from, o.from...)
		k.problems = append(k.problems, o.problems...)
	}
	return k
}

// Empty says whether there is no key.
func (k Keyring) Empty() bool { return len(k.keys) == 0 }

// limit returns the ring, in which only keys that fingerprints name, each with or without "!", may sign.
//
// Errors: a fingerprint that no key has, or that is none.
func (k Keyring) limit(fingerprints []string) (Keyring, error) {
	only := make([]string, len(fingerprints))
	for i, text := range fingerprints {
		only[i] = strings.ToLower(text)
		want := strings.TrimSuffix(only[i], "!")
		if raw, err := hex.DecodeString(want); err != nil || len(raw) != sha1.Size {
			return Keyring{}, fmt.Errorf("%q is neither a path nor a fingerprint of 40 hex digits", text)
		}
		if !slices.ContainsFunc(k.keys, func(e trustedKey) bool { return e.has(want) }) {
			return Keyring{}, fmt.Errorf("there is no key %s in %s", text, strings.Join(k.from, ", "))
		}
	}
	k.keys = slices.Clone(k.keys)
	for i := range k.keys {
		k.keys[i].only = only
	}
	return k, nil
}

// has says whether the primary key or a subkey has the fingerprint.
func (k trustedKey) has(want string) bool {
	return fingerprint(k.PrimaryKey) == want || slices.ContainsFunc(k.Subkeys, func(s openpgp.Subkey) bool {
		return fingerprint(s.PublicKey) == want
	})
}

// Fingerprints returns the fingerprints of the primary keys that may sign, or have a subkey that may: upper-case hex,
// sorted.
func (k Keyring) Fingerprints() []string {
	var list []string
	for _, e := range k.keys {
		if e.only != nil && !slices.ContainsFunc(e.only, func(want string) bool { return e.has(strings.TrimSuffix(want, "!")) }) {
			continue
		}
		list = append(list, strings.ToUpper(fingerprint(e.PrimaryKey)))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// A SignatureError means that no key in the ring vouches for a Release file.
type SignatureError struct {
	URL     string
	Reasons []string // one for each signature there is
	Keys    Keyring  // what was tried
}

func (e *SignatureError) Error() string {
	reason := "it has no signature"
	if len(e.Reasons) > 0 {
		reason = strings.Join(e.Reasons, "; ")
	}
	return fmt.Sprintf("%s: not signed by a key that may sign it: %s", e.URL, reason)
}

func (e *SignatureError) Hint() string {
	hint := "no key is trusted for this source; name one: keys: in the recipe, or Signed-By in apt's sources"
	if !e.Keys.Empty() {
		hint = "trusted for this source are the keys in " + strings.Join(e.Keys.from, ", ")
	}
	if err := errors.Join(e.Keys.problems...); err != nil {
		hint += "; not read: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return hint
}

// verify checks the signatures (OpenPGP packets) over signed at the time now and returns the fingerprints of
// the primary keys that made a good one: upper-case hex, sorted, at least one. As in apt, a signature by an unknown,
// expired or revoked key or with a weak digest is worth nothing, but one that is wrong spoils the file.
func (k Keyring) verify(url string, signed, signatures []byte, now time.Time) ([]string, error) {
	fail := &SignatureError{URL: url, Keys: k}
	var good []string
	bad := false
	packets := packet.NewOpaqueReader(bytes.NewReader(signatures))
	for {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: signature: %w", url, err)
		}
		signer, err := k.verifyOne(signed, p, now)
		switch {
		case err == nil:
			good = append(good, signer)
		default:
			fail.Reasons = append(fail.Reasons, err.Error())
			bad = bad || errors.Is(err, errBadSignature)
		}
	}
	if bad || len(good) == 0 {
		return nil, fail
	}
	slices.Sort(good)
	return slices.Compact(good), nil
}

var errBadSignature = errors.New("the signature is not over this text")

// verifyOne checks one signature packet and returns the fingerprint of the primary key that made it.
func (k Keyring) verifyOne(signed []byte, p *packet.OpaquePacket, now time.Time) (string, error) {
	parsed, err := p.Parse()
	if err != nil {
		return "", err
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok {
		return "", errors.New("something that is no signature")
	}
	name := "a signature without issuer"
	if sig.IssuerKeyId != nil {
		name = fmt.Sprintf("key %016X", *sig.IssuerKeyId)
	}
	if sig.SigType != packet.SigTypeBinary && sig.SigType != packet.SigTypeText {
		return "", fmt.Errorf("%s: a signature of type %#x, not over a text", name, uint8(sig.SigType))
	}
	if !slices.Contains(strongHashes, sig.Hash) {
		return "", fmt.Errorf("%s: the digest %v is too weak", name, sig.Hash)
	}
	var raw bytes.Buffer
	if err := p.Serialize(&raw); err != nil {
		return "", err
	}
	if latest := now.Add(maxFuture); sig.CreationTime.After(latest) {
		return "", fmt.Errorf("%s: signed on %s, which is not yet", name, sig.CreationTime.UTC().Format(time.RFC1123))
	} else if sig.CreationTime.After(now) {
		now = sig.CreationTime // clocks differ a little
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	ring := signers{k.entities()}
	checked, signer, err := openpgp.VerifyDetachedSignature(ring, bytes.NewReader(signed), &raw, config)
	switch {
	case signer == nil && errors.Is(err, pgperrors.ErrUnknownIssuer) && len(ring.KeysById(*sig.IssuerKeyId)) > 0:
		return "", fmt.Errorf("%s is not for signing", name)
	case signer == nil && errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", fmt.Errorf("%s is not known", name)
	case signer == nil:
		return "", fmt.Errorf("%s: %w (%v)", name, errBadSignature, err)
	case err != nil:
		return "", fmt.Errorf("%s: %w", name, err)
	}
	for _, key := range (openpgp.EntityList{signer}).KeysById(*checked.IssuerKeyId) {
		if err := k.fit(key); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return strings.ToUpper(fingerprint(signer.PrimaryKey)), nil
}

func (k Keyring) entities() openpgp.EntityList {
	var list openpgp.EntityList
	for _, e := range k.keys {
		list = append(list, e.Entity)
	}
	return list
}

// signers is keys, of which those are asked for that sign.
type signers struct{ openpgp.EntityList }

// KeysByIdUsage returns the keys with the id that are for signing. A primary key that doesn't say what it is for is for
// everything, as in GnuPG; of a subkey only what says that it signs is proof that the two belong together.
func (s signers) KeysByIdUsage(id uint64, _ byte) []openpgp.Key {
	return slices.DeleteFunc(s.KeysById(id), func(k openpgp.Key) bool {
		if self, _ := k.Entity.PrimarySelfSignature(); self == nil || k.SelfSignature == nil {
			return true
		}
		if k.PublicKey == k.Entity.PrimaryKey && !k.SelfSignature.FlagsValid {
			return false
		}
		return !k.SelfSignature.FlagsValid || !k.SelfSignature.FlagSign
	})
}

// fit says why a key's good signature is worth nothing.
func (k Keyring) fit(key openpgp.Key) error {
	bits, err := key.PublicKey.BitLength()
	switch algo := key.PublicKey.PubKeyAlgo; {
	case algo == packet.PubKeyAlgoDSA:
		return errors.New("DSA keys are too weak")
	case (algo == packet.PubKeyAlgoRSA || algo == packet.PubKeyAlgoRSASignOnly) && (err != nil || bits < minRSABits):
		return fmt.Errorf("an RSA key of %d bits is too weak", bits)
	}
	signing, owner := fingerprint(key.PublicKey), fingerprint(key.Entity.PrimaryKey)
	if !slices.ContainsFunc(k.keys, func(e trustedKey) bool { return fingerprint(e.PrimaryKey) == owner && e.allows(signing) }) {
		return errors.New("it may not sign: Signed-By names others")
	}
	return nil
}

// dearmorSignature returns the packets of an armored or binary signature.
func dearmorSignature(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		return data, nil
	}
	block, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("a %q, not a signature", block.Type)
	}
	return io.ReadAll(block.Body)
}
