package apt

import (
	"bytes"
	"crypto"
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
	keys     openpgp.EntityList
	from     []string // where the keys are from, for messages
	problems []error  // key files that could not be read
}

const (
	armorStart = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	minRSABits = 2048 // shorter ones are refused by gpgv in apt too
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
		k.keys = keys
		return k, nil
	}
	for _, block := range bytes.Split(data, []byte(armorStart))[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(io.MultiReader(strings.NewReader(armorStart), bytes.NewReader(block)))
		if err != nil {
			return Keyring{}, fmt.Errorf("keys %s: %w", name, err)
		}
		k.keys = append(k.keys, keys...)
	}
	return k, nil
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

// only returns the keys with one of the fingerprints: of the primary key, or of a subkey when the fingerprint
// has no "!" (sources.list(5), Signed-By).
func (k Keyring) only(fingerprints []string) Keyring {
	some := Keyring{from: k.from, problems: k.problems}
	for _, e := range k.keys {
		if slices.ContainsFunc(fingerprints, func(want string) bool { return hasFingerprint(e, want) }) {
			some.keys = append(some.keys, e)
		}
	}
	return some
}

func hasFingerprint(e *openpgp.Entity, want string) bool {
	want, exact := strings.CutSuffix(strings.ToLower(want), "!")
	if hex.EncodeToString(e.PrimaryKey.Fingerprint) == want {
		return true
	}
	return !exact && slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool {
		return hex.EncodeToString(s.PublicKey.Fingerprint) == want
	})
}

// Fingerprints returns the fingerprints of the primary keys, upper-case hex, sorted.
func (k Keyring) Fingerprints() []string {
	var list []string
	for _, e := range k.keys {
		list = append(list, strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint)))
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
	checked, signer, err := openpgp.VerifyDetachedSignature(k.keys, bytes.NewReader(signed), &raw, config)
	if signer == nil && errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return "", fmt.Errorf("%s is not known", name)
	}
	if signer == nil {
		return "", fmt.Errorf("%s: %w (%v)", name, errBadSignature, err)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := strongKey(signer, *checked.IssuerKeyId); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.ToUpper(hex.EncodeToString(signer.PrimaryKey.Fingerprint)), nil
}

// strongKey refuses DSA and short RSA keys.
func strongKey(e *openpgp.Entity, id uint64) error {
	for _, key := range (openpgp.EntityList{e}).KeysById(id) {
		bits, err := key.PublicKey.BitLength()
		switch algo := key.PublicKey.PubKeyAlgo; {
		case algo == packet.PubKeyAlgoDSA:
			return errors.New("DSA keys are too weak")
		case (algo == packet.PubKeyAlgoRSA || algo == packet.PubKeyAlgoRSASignOnly) && (err != nil || bits < minRSABits):
			return fmt.Errorf("an RSA key of %d bits is too weak", bits)
		}
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
