package apt

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// public joins the keys as a keyring file.
func public(keys ...apttest.Key) string {
	var b strings.Builder
	for _, k := range keys {
		b.Write(k.Public())
	}
	return b.String()
}

// keybox is the start of a file as gpg keeps keys in.
var keybox = "\x00\x00\x00\x20\x01\x01\x00\x02KBXf" + strings.Repeat("\x00", 20)

// indented is an armored key as the value of a field.
func indented(keys ...apttest.Key) string {
	var b strings.Builder
	for _, k := range keys {
		for line := range strings.Lines(string(k.Armored())) {
			if line == "\n" {
				line = ".\n"
			}
			b.WriteString("\n " + strings.TrimSpace(line))
		}
	}
	return b.String()
}

// TestKeysLikeApt asks the real apt-get whether it believes an archive, by the same configuration.
func TestKeysLikeApt(t *testing.T) {
	const file = "/usr/share/keyrings/k.gpg"
	signedBy := func(keys ...apttest.Key) apttest.Options { return apttest.Options{Keys: keys} }
	detached := func(keys ...apttest.Key) apttest.Options { return apttest.Options{Keys: keys, Detached: true} }
	edit := func(name string, f func([]byte) []byte) apttest.Options {
		return apttest.Options{Edit: func(files map[string][]byte) {
			files["dists/stable/"+name] = f(files["dists/stable/"+name])
		}}
	}
	sub, other := apttest.SubKey, apttest.OtherKey
	for _, tt := range []struct {
		name     string
		opt      apttest.Options
		keys     string // default TestKey's
		signedBy string // default the file of keys; "trusted" for none, with the keys in trusted.gpg.d
		want     string // part of the error; "" when it is believed
		stricter bool   // than this apt
	}{
		{name: "good"},
		{name: "armored", keys: string(apttest.TestKey.Armored()), signedBy: "/usr/share/keyrings/k.asc"},
		{name: "armored, several keys", keys: string(other.Armored()) + string(apttest.TestKey.Armored()), signedBy: "/usr/share/keyrings/k.asc"},
		{name: "several keys", keys: public(other, apttest.TestKey)},
		{name: "trusted.gpg.d", signedBy: "trusted"},
		{name: "another key", keys: public(other), want: "is not known"},
		{name: "no key", keys: "\n", want: "k.gpg: openpgp: invalid data"},
		{name: "a keybox", keys: keybox, want: "keybox"},
		{name: "a keybox in trusted.gpg.d", keys: keybox, signedBy: "trusted", want: "is not known"},

		{name: "a revoked key", opt: signedBy(apttest.RevokedKey), keys: public(apttest.RevokedKey), want: "revoked"},
		{name: "an expired key", opt: signedBy(apttest.ExpiredKey), keys: public(apttest.ExpiredKey), want: "expired"},
		{name: "an expired subkey", opt: signedBy(apttest.ExpiredSubKey), keys: public(apttest.ExpiredSubKey), want: "expired"},
		{name: "a revoked subkey", opt: signedBy(apttest.RevokedSubKey), keys: public(apttest.RevokedSubKey), want: "revoked"},
		{name: "a key that is not for signing", opt: signedBy(apttest.CertifyKey), keys: public(apttest.CertifyKey), want: "not for signing"},
		{name: "a key that doesn't say what it is for", opt: signedBy(apttest.PlainKey), keys: public(apttest.PlainKey)},
		{name: "a short key", opt: signedBy(apttest.ShortKey), keys: public(apttest.ShortKey), want: "1024 bits is too weak", stricter: true},
		{name: "a DSA key", opt: signedBy(apttest.DSAKey), keys: public(apttest.DSAKey), want: "DSA", stricter: true},

		{name: "an expired signature", opt: apttest.Options{Lifetime: time.Hour}, want: "expired"},
		{name: "a signature that expires later", opt: apttest.Options{Lifetime: 20 * 365 * 24 * time.Hour}},
		{name: "SHA-1", opt: apttest.Options{Hash: crypto.SHA1}, want: "SHA-1 is too weak"},
		{name: "SHA-512", opt: apttest.Options{Hash: crypto.SHA512}},

		{name: "two signatures", opt: signedBy(other, apttest.TestKey), keys: public(other, apttest.TestKey)},
		{name: "two signatures, the first is good", opt: signedBy(apttest.TestKey, other)},
		{name: "two signatures, the second is good", opt: signedBy(other, apttest.TestKey)},
		{name: "two signatures, one by an expired key", opt: signedBy(apttest.ExpiredKey, apttest.TestKey), keys: public(apttest.ExpiredKey, apttest.TestKey)},
		{name: "two signatures, one by a revoked key", opt: signedBy(apttest.TestKey, apttest.RevokedKey), keys: public(apttest.RevokedKey, apttest.TestKey)},
		{name: "two signatures, one by a short key", opt: signedBy(apttest.ShortKey, apttest.TestKey), keys: public(apttest.ShortKey, apttest.TestKey)},
		{name: "two signatures, one by a key that is not for signing", opt: signedBy(apttest.CertifyKey, apttest.TestKey), keys: public(apttest.CertifyKey, apttest.TestKey)},
		{name: "two signatures, one spoilt", opt: spoilt(other, apttest.TestKey), keys: public(other, apttest.TestKey), want: "not over this text"},
		{name: "two signatures, one spoilt, by who knows", opt: spoilt(other, apttest.TestKey)},
		{name: "detached, two signatures", opt: detached(other, apttest.TestKey), keys: public(other, apttest.TestKey)},
		{name: "detached, two signatures, one good", opt: detached(other, apttest.TestKey)},
		{name: "detached, none good", opt: detached(other, apttest.ExpiredKey), keys: public(apttest.ExpiredKey), want: "expired"},

		{name: "text before", opt: edit("InRelease", func(b []byte) []byte { return append([]byte("Suite: evil\n\n"), b...) }), want: "not a clear-signed text"},
		{name: "an empty line before", opt: edit("InRelease", func(b []byte) []byte { return append([]byte("\n"), b...) }), want: "not a clear-signed text"},
		{name: "text behind", opt: edit("InRelease", func(b []byte) []byte { return append(b, "\nSuite: evil\n"...) }), want: "behind the signature"},
		{name: "two messages", opt: edit("InRelease", func(b []byte) []byte { return append(b, b...) }), want: "behind the signature"},
		{name: "a field in the head", opt: edit("InRelease", func(b []byte) []byte {
			return bytes.Replace(b, []byte("Hash: SHA256\n"), []byte("Hash: SHA256\nSuite: evil\n"), 1)
		}), want: "malformed", stricter: true},

		{name: "a key in the source", signedBy: indented(apttest.TestKey)},
		{name: "two keys in the source", signedBy: indented(other, apttest.TestKey)},
		{name: "another key in the source", signedBy: indented(other), want: "is not known"},
		{name: "a fingerprint", keys: public(other, apttest.TestKey), signedBy: file + " " + apttest.TestKey.Fingerprint()},
		{name: "a fingerprint in small letters", keys: public(other, apttest.TestKey), signedBy: file + " " + strings.ToLower(apttest.TestKey.Fingerprint())},
		{name: "a fingerprint of trusted.gpg.d", signedBy: "trusted " + apttest.TestKey.Fingerprint()},
		{name: "another fingerprint", keys: public(other, apttest.TestKey), signedBy: file + " " + other.Fingerprint(), want: "may not sign"},
		{name: "two fingerprints", keys: public(other, apttest.TestKey), signedBy: file + " " + other.Fingerprint() + " " + apttest.TestKey.Fingerprint()},
		{name: "a fingerprint that nothing has", signedBy: file + " " + other.Fingerprint(), want: "no key " + other.Fingerprint()},
		{name: "the exact key", signedBy: file + " " + apttest.TestKey.Fingerprint() + "!"},
		{name: "a subkey, by its primary key", opt: signedBy(sub), keys: public(sub), signedBy: file + " " + sub.Fingerprint()},
		{name: "a subkey, by exactly its primary key", opt: signedBy(sub), keys: public(sub), signedBy: file + " " + sub.Fingerprint() + "!", want: "may not sign"},
		{name: "a subkey by itself", opt: signedBy(sub), keys: public(sub), signedBy: file + " " + sub.SigningFingerprint()},
		{name: "a subkey exactly", opt: signedBy(sub), keys: public(sub), signedBy: file + " " + sub.SigningFingerprint() + "!"},
		{name: "a short id", signedBy: file + " " + apttest.TestKey.Fingerprint()[24:], want: "neither a path nor a fingerprint"},
		{name: "no fingerprint", signedBy: file + " nobody", want: "neither a path nor a fingerprint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := testArchive()
			*archive.Options("stable") = tt.opt
			srv := archive.Server(t)
			if tt.keys == "" {
				tt.keys = public(apttest.TestKey)
			}
			if tt.signedBy == "" {
				tt.signedBy = file
			}
			keyFile, trusted := tt.signedBy, strings.HasPrefix(tt.signedBy, "trusted")
			keyFile, _, _ = strings.Cut(keyFile, " ")
			if !strings.HasPrefix(keyFile, "/") {
				keyFile = "/usr/share/keyrings/unused.gpg"
			}
			if trusted {
				keyFile = "/etc/apt/trusted.gpg.d/k.gpg"
			}
			source := "Types: deb\nURIs: " + srv.URL + "\nSuites: stable\nComponents: main\n"
			if value := strings.TrimSpace(strings.TrimPrefix(tt.signedBy, "trusted")); value != "" {
				source += "Signed-By: " + strings.TrimPrefix(tt.signedBy, "trusted") + "\n"
			}
			files := map[string]string{strings.TrimPrefix(keyFile, "/"): tt.keys, "etc/apt/sources.list.d/a.sources": source}

			err := loadHost(t, hostDir(t, files))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant …%s…", err, tt.want)
			}
			out, aptErr := apttest.NewApt(t, "amd64", files).Run("update", "-q", "-o", "Acquire::AllowInsecureRepositories=false")
			if (aptErr == nil) != (tt.want == "" || tt.stricter) {
				t.Errorf("apt: %v\n%s", aptErr, out)
			}
		})
	}
}

// spoilt signs by keys; what the first of them signed is another text.
func spoilt(keys ...apttest.Key) apttest.Options {
	wrong := testArchive()
	*wrong.Options("stable") = apttest.Options{Keys: keys[:1], Label: "Another"}
	return apttest.Options{Keys: keys, Detached: true, Edit: func(files map[string][]byte) {
		const name = "dists/stable/Release.gpg"
		all, err := wrong.Files()
		if err != nil {
			panic(err)
		}
		right, err := dearmorSignature(files[name])
		if err != nil {
			panic(err)
		}
		bad, err := dearmorSignature(all[name])
		if err != nil {
			panic(err)
		}
		var b bytes.Buffer
		w, err := armor.Encode(&b, openpgp.SignatureType, nil)
		if err != nil {
			panic(err)
		}
		w.Write(append(bad, right[len(bad):]...))
		w.Close()
		files[name] = b.Bytes()
	}}
}

// loadHost loads the suite stable as the apt below root names it, now.
func loadHost(t *testing.T, root string) error {
	t.Helper()
	h, err := HostSources(root)
	if err != nil {
		return err
	}
	sources, err := h.Select(Want{Distro: "test", Suite: "stable"})
	if err != nil {
		return err
	}
	l := &Loader{Client: fastClient(t), Cache: t.TempDir(), Arch: "amd64", Now: time.Now}
	_, err = l.Load(t.Context(), sources)
	return err
}

// FuzzKeys reads key rings of any content, and asks them about a signature.
func FuzzKeys(f *testing.F) {
	archive := testArchive()
	archive.Options("stable").Keys = []apttest.Key{apttest.TestKey, apttest.SubKey, apttest.CertifyKey}
	files, err := archive.Files()
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range []apttest.Key{apttest.TestKey, apttest.SubKey, apttest.RevokedKey, apttest.CertifyKey, apttest.PlainKey} {
		f.Add(k.Public())
	}
	f.Add(apttest.TestKey.Armored())
	f.Fuzz(func(t *testing.T, ring []byte) {
		keys, err := ReadKeys("ring", ring)
		if err != nil {
			return
		}
		if limited, err := keys.limit(keys.Fingerprints()); err == nil {
			keys = limited.Merge(keys)
		}
		parseInRelease("u", files["dists/stable/InRelease"], Source{Suite: "stable", Keys: keys}, testNow)
	})
}
